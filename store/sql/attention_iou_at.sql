-- Overlap of two models' attention at another threshold than the study's, from the maps.
-- Use: SELECT avg(iou) FROM attention_iou_at(0.5) WHERE method = 'cam_label'.
-- Grain and range as attention_iou. NULL when neither attends anywhere or a map is undefined.
CREATE MACRO attention_iou_at(tau) AS TABLE
    -- masks are made before the join: once for every map, and not for every pair
    WITH a AS (
        SELECT
            model_id,
            method,
            image_id,
            mask_at(unpacked_bytes(map_words, map_cells), tau) AS mask -- noqa: RF02
        FROM stored_attention
        WHERE view = 'clean'
    ),

    b AS (
        SELECT
            model_id,
            method,
            image_id,
            mask_at(unpacked_bytes(map_words, map_cells), tau) AS mask -- noqa: RF02
        FROM stored_attention
        WHERE view = 'clean'
    )

    SELECT
        pair.model_a,
        pair.model_b,
        a.method,
        a.image_id,
        attention_iou_of(a.mask, b.mask) AS iou
    FROM model_pair AS pair
    INNER JOIN a ON pair.model_a = a.model_id
    INNER JOIN b
        ON
            pair.model_b = b.model_id
            AND a.image_id = b.image_id
            AND a.method = b.method;
