-- On how many clean test images a measure is undefined, and why: these are left out of means of
-- attention, and make any measure of predictions NULL.
-- Grain: (measure, model_a, model_b, reason); counts of zero are absent.
-- model_b is NULL where the measure is of one model.
CREATE VIEW undefined_counts AS
WITH test AS (
    SELECT count(*) AS of_images
    FROM image
    WHERE split = 'test'
),

overlap AS (
    SELECT
        pair.kind,
        pair.model_a,
        pair.model_b,
        a.mask_cells IS NULL OR b.mask_cells IS NULL AS no_map,
        a.mask_cells = 0 AND b.mask_cells = 0 AS no_mask
    FROM model_pair AS pair
    CROSS JOIN study
    INNER JOIN attention AS a
        ON
            pair.model_a = a.model_id
            AND a.view = 'clean'
            AND study.attention_method = a.method
    INNER JOIN attention AS b
        ON
            pair.model_b = b.model_id
            AND b.view = 'clean'
            AND a.image_id = b.image_id
            AND a.method = b.method
),

undefined AS (
    SELECT
        CASE kind
            WHEN 'teacher_teacher' THEN 'attention_iou'
            ELSE 'attention_iou_teacher_student'
        END AS measure,
        model_a,
        model_b,
        CASE
            WHEN no_map THEN 'the map of one or both is undefined'
            ELSE 'neither attends anywhere (0/0)'
        END AS reason
    FROM overlap
    WHERE no_map OR no_mask
    UNION ALL
    SELECT
        'mask_area' AS measure,
        attention.model_id AS model_a,
        NULL::INTEGER AS model_b,
        'the map is undefined' AS reason
    FROM attention
    INNER JOIN study ON attention.method = study.attention_method
    WHERE attention.view = 'clean' AND attention.mask_cells IS NULL
    UNION ALL
    SELECT
        'test_accuracy' AS measure,
        prediction.model_id AS model_a,
        NULL::INTEGER AS model_b,
        'the logits are not finite' AS reason
    FROM prediction
    INNER JOIN image ON prediction.image_id = image.image_id
    WHERE
        prediction.view = 'clean'
        AND image.split = 'test'
        AND prediction.predicted IS NULL
)

SELECT
    undefined.measure,
    undefined.model_a,
    undefined.model_b,
    undefined.reason,
    count(*) AS images,
    any_value(test.of_images) AS of_images
FROM undefined
CROSS JOIN test
GROUP BY undefined.measure, undefined.model_a, undefined.model_b, undefined.reason;
