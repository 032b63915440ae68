-- Overlap of two models' attention on one clean test image: |A and B| / |A or B|.
-- Grain: (model_a, model_b, method, image_id), for every pair of model_pair. iou in [0, 1].
-- NULL when neither attends anywhere (0/0 is undefined, not zero) or a map is undefined.
CREATE VIEW attention_iou AS
WITH overlap AS (
    SELECT
        pair.model_a,
        pair.model_b,
        a.method,
        a.image_id,
        bit_count(a.mask_0 & b.mask_0)::INTEGER + bit_count(a.mask_1 & b.mask_1)::INTEGER
        + bit_count(a.mask_2 & b.mask_2)::INTEGER + bit_count(a.mask_3 & b.mask_3)::INTEGER
            AS shared,
        a.mask_cells + b.mask_cells AS cells
    FROM model_pair AS pair
    INNER JOIN attention AS a ON pair.model_a = a.model_id AND a.view = 'clean'
    INNER JOIN attention AS b
        ON
            pair.model_b = b.model_id
            AND b.view = 'clean'
            AND a.image_id = b.image_id
            AND a.method = b.method
)

SELECT
    model_a,
    model_b,
    method,
    image_id,
    shared / nullif(cells - shared, 0) AS iou
FROM overlap;
