-- What is measured of one model alone, on each half of the test images; training images belong
-- to every half.
-- Grain: (model_id, half), half one of all, a, b; absent where the model failed.
-- Accuracies, ece, ece_adaptive and mask_area in [0, 1].
-- NULL when any logits used are not finite; mask_area when every map is undefined.
CREATE VIEW model_measures_by_half AS
WITH answer AS (
    SELECT
        image_answer.model_id,
        test_half.half,
        image_answer.image_id,
        image_answer.correct::INTEGER AS correct,
        image_answer.confidence,
        image_answer.entropy_nats,
        image_answer.cross_entropy_nats
    FROM image_answer
    INNER JOIN test_half ON image_answer.image_id = test_half.image_id
    WHERE image_answer.view = 'clean'
),

test AS (
    SELECT
        model_id,
        half,
        count(*) AS images,
        strict_mean(correct) AS test_accuracy,
        strict_mean(entropy_nats) AS entropy_nats,
        strict_mean(cross_entropy_nats) AS test_loss_nats
    FROM answer
    GROUP BY model_id, half
),

train AS (
    SELECT
        model_id,
        strict_mean(correct::INTEGER) AS train_accuracy,
        strict_mean(cross_entropy_nats) AS train_loss_nats
    FROM image_answer
    WHERE view = 'clean' AND split = 'train'
    GROUP BY model_id
),

-- bins of confidence are open below and closed above, as in Guo et al. 2017
width_bin AS (
    SELECT
        model_id,
        half,
        abs(sum(correct) - sum(confidence)) AS gap
    FROM answer
    GROUP BY model_id, half, least(ceil(15 * confidence), 15)
),

width AS (
    SELECT
        model_id,
        half,
        sum(gap) AS gap
    FROM width_bin
    GROUP BY model_id, half
),

ranked AS (
    SELECT
        model_id,
        half,
        correct,
        confidence,
        ntile(15) OVER (PARTITION BY model_id, half ORDER BY confidence, image_id) AS bin
    FROM answer
),

mass_bin AS (
    SELECT
        model_id,
        half,
        abs(sum(correct) - sum(confidence)) AS gap
    FROM ranked
    GROUP BY model_id, half, bin
),

mass AS (
    SELECT
        model_id,
        half,
        sum(gap) AS gap
    FROM mass_bin
    GROUP BY model_id, half
),

area AS (
    SELECT
        attention.model_id,
        test_half.half,
        avg(attention.mask_cells / (study.grid * study.grid)) AS mask_area
    FROM attention
    INNER JOIN study ON attention.method = study.attention_method
    INNER JOIN test_half ON attention.image_id = test_half.image_id
    WHERE attention.view = 'clean'
    GROUP BY attention.model_id, test_half.half
)

SELECT
    test.model_id,
    test.half,
    test.test_accuracy,
    train.train_accuracy,
    train.train_accuracy - test.test_accuracy AS generalization_gap,
    test.test_loss_nats - train.train_loss_nats AS loss_gap_nats,
    test.entropy_nats,
    CASE WHEN test.test_accuracy IS NOT NULL THEN width.gap / test.images END AS ece,
    CASE WHEN test.test_accuracy IS NOT NULL THEN mass.gap / test.images END AS ece_adaptive,
    area.mask_area
FROM test
LEFT JOIN train ON test.model_id = train.model_id
LEFT JOIN width ON test.model_id = width.model_id AND test.half = width.half
LEFT JOIN mass ON test.model_id = mass.model_id AND test.half = mass.half
LEFT JOIN area ON test.model_id = area.model_id AND test.half = area.half;
