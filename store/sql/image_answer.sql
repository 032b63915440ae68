-- What a model's logits say of one image: right or wrong, how sure, at what loss.
-- Grain: (model_id, view, image_id), every image that the model was shown.
-- confidence in (0, 1], entropy_nats in [0, ln K], cross_entropy_nats 0 or more.
-- NULL when the logits are not finite.
CREATE VIEW image_answer AS
WITH finite AS (
    SELECT
        model_id,
        view,
        image_id,
        predicted,
        CASE WHEN predicted IS NOT NULL THEN logits::DOUBLE[] END AS logits,
        list_max(logits)::DOUBLE AS largest
    FROM prediction
),

shifted AS (
    SELECT
        * EXCLUDE (logits, largest),
        list_transform(logits, LAMBDA logit: logit - largest) AS scores
    FROM finite
),

weighted AS (
    SELECT
        *,
        list_transform(scores, LAMBDA score: exp(score)) AS weights
    FROM shifted
),

summed AS (
    SELECT
        * EXCLUDE (weights),
        list_sum(weights) AS total,
        list_dot_product(weights, scores) AS moment
    FROM weighted
)

SELECT
    answer.model_id,
    answer.view,
    answer.image_id,
    image.split,
    image.label,
    answer.predicted,
    answer.predicted = image.label AS correct,
    1 / answer.total AS confidence,
    ln(answer.total) - answer.moment / answer.total AS entropy_nats,
    ln(answer.total) - answer.scores[image.label + 1] AS cross_entropy_nats
FROM summed AS answer
INNER JOIN image ON answer.image_id = image.image_id;
