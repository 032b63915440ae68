-- Overlap of two models' attention at another threshold than the study's, from the maps.
-- Use: SELECT avg(iou) FROM attention_iou_at(0.5) WHERE method = 'cam_label'.
-- Grain and range as attention_iou. NULL when neither attends anywhere or a map is undefined.
CREATE MACRO attention_iou_at(tau) AS TABLE
    SELECT
        pair.model_a,
        pair.model_b,
        a.method,
        a.image_id,
        attention_iou_of(
            mask_at(unpacked_bytes(a.map_words, a.map_cells), tau), -- noqa: RF02
            mask_at(unpacked_bytes(b.map_words, b.map_cells), tau) -- noqa: RF02
        ) AS iou
    FROM model_pair AS pair
    INNER JOIN stored_attention AS a ON pair.model_a = a.model_id AND a.view = 'clean'
    INNER JOIN stored_attention AS b
        ON
            pair.model_b = b.model_id
            AND b.view = 'clean'
            AND a.image_id = b.image_id
            AND a.method = b.method;
