-- How alike two models of a block are, on each half of the clean test images.
-- Grain: (model_a, model_b, half), half one of all, a, b. agreement and attention_iou in [0, 1].
-- NULL when a model failed; agreement when any logits are not finite; attention_iou when there
-- is no image where either attends anywhere.
CREATE VIEW pair_measures_by_half AS
WITH attended AS (
    SELECT
        overlap.model_a,
        overlap.model_b,
        test_half.half,
        avg(overlap.iou) AS attention_iou
    FROM attention_iou AS overlap
    INNER JOIN study ON overlap.method = study.attention_method
    INNER JOIN test_half ON overlap.image_id = test_half.image_id
    GROUP BY overlap.model_a, overlap.model_b, test_half.half
),

answered AS (
    SELECT
        pair.model_a,
        pair.model_b,
        test_half.half,
        strict_mean((a.predicted = b.predicted)::INTEGER) AS agreement
    FROM model_pair AS pair
    INNER JOIN prediction AS a ON pair.model_a = a.model_id AND a.view = 'clean'
    INNER JOIN prediction AS b
        ON pair.model_b = b.model_id AND b.view = 'clean' AND a.image_id = b.image_id
    INNER JOIN test_half ON a.image_id = test_half.image_id
    GROUP BY pair.model_a, pair.model_b, test_half.half
),

part AS (
    SELECT unnest(['all', 'a', 'b']) AS half
)

SELECT
    pair.model_a,
    pair.model_b,
    pair.kind,
    part.half,
    answered.agreement,
    attended.attention_iou
FROM model_pair AS pair
CROSS JOIN part
LEFT JOIN answered
    ON
        pair.model_a = answered.model_a
        AND pair.model_b = answered.model_b
        AND part.half = answered.half
LEFT JOIN attended
    ON
        pair.model_a = attended.model_a
        AND pair.model_b = attended.model_b
        AND part.half = attended.half;
