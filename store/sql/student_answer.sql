-- What a student and the ensemble of its teachers say of one test image.
-- Grain: (student_id, view, image_id): on the clean view and on the student's own.
-- kl_ensemble_student_nats is KL(p_E || p_S), the other one KL(p_S || p_E), both 0 or more.
-- NULL when logits are not finite; absent where the student or a teacher failed.
CREATE VIEW student_answer AS
WITH logits AS (
    SELECT
        ensemble.student_id,
        ensemble.view,
        ensemble.image_id,
        ensemble.predicted AS ensemble_class,
        student.predicted AS student_class,
        CASE WHEN ensemble.predicted IS NOT NULL THEN ensemble.logits END AS e,
        CASE WHEN student.predicted IS NOT NULL THEN student.logits::DOUBLE[] END AS s
    FROM ensemble_prediction AS ensemble
    INNER JOIN prediction AS student
        ON
            ensemble.student_id = student.model_id
            AND ensemble.view = student.view
            AND ensemble.image_id = student.image_id
),

largest AS (
    SELECT
        *,
        list_max(e) AS largest_e,
        list_max(s) AS largest_s
    FROM logits
),

shifted AS (
    SELECT
        * EXCLUDE (e, s),
        list_transform(e, LAMBDA logit: logit - largest_e) AS e,
        list_transform(s, LAMBDA logit: logit - largest_s) AS s
    FROM largest
),

weighted AS (
    SELECT
        *,
        list_transform(e, LAMBDA score: exp(score)) AS weights_e,
        list_transform(s, LAMBDA score: exp(score)) AS weights_s
    FROM shifted
),

summed AS (
    SELECT
        *,
        list_sum(weights_e) AS total_e,
        list_sum(weights_s) AS total_s
    FROM weighted
)

SELECT
    student_id,
    view,
    image_id,
    ensemble_class,
    student_class,
    (list_dot_product(weights_e, e) - list_dot_product(weights_e, s)) / total_e
    - ln(total_e) + ln(total_s) AS kl_ensemble_student_nats,
    (list_dot_product(weights_s, s) - list_dot_product(weights_s, e)) / total_s
    - ln(total_s) + ln(total_e) AS kl_student_ensemble_nats
FROM summed;
