-- Overlap of two models' attention by one method: what the view attention_iou is made of.
-- Use: SELECT avg(iou) FROM attention_iou_by_method('cam_label').
-- Grain and range as attention_iou. NULL when neither attends anywhere or a map is undefined.
CREATE MACRO attention_iou_by_method(wanted) AS TABLE -- noqa: disable=RF02,RF04
    -- (the linter takes the parameter for a column, method for a keyword)
    WITH overlap AS (
        SELECT
            pair.model_a,
            pair.model_b,
            a.image_id,
            shared_cells(
                a.mask_0, a.mask_1, a.mask_2, a.mask_3, b.mask_0, b.mask_1, b.mask_2, b.mask_3
            ) AS shared,
            a.mask_cells + b.mask_cells AS cells
        FROM model_pair AS pair
        INNER JOIN stored_attention AS a
            ON pair.model_a = a.model_id AND a.view = 'clean' AND a.method = wanted
        INNER JOIN stored_attention AS b
            ON
                pair.model_b = b.model_id
                AND b.view = 'clean'
                AND b.method = wanted
                AND a.image_id = b.image_id
    )

    SELECT
        model_a,
        model_b,
        wanted AS method,
        image_id,
        shared / nullif(cells - shared, 0) AS iou
    FROM overlap;
