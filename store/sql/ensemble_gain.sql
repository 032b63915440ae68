-- A student's ensemble of teachers against its single teachers, on the clean test images.
-- Grain: (student_id): every student that has teachers. Accuracies in [0, 1]; gains are
-- differences of two.
-- NULL when a teacher failed or its logits are not finite.
CREATE VIEW ensemble_gain AS
WITH together AS (
    SELECT
        ensemble.student_id,
        strict_mean((ensemble.predicted = image.label)::INTEGER) AS accuracy
    FROM ensemble_prediction AS ensemble
    INNER JOIN image ON ensemble.image_id = image.image_id
    WHERE ensemble.view = 'clean'
    GROUP BY ensemble.student_id
),

alone AS (
    SELECT
        prediction.model_id,
        strict_mean((prediction.predicted = image.label)::INTEGER) AS accuracy
    FROM prediction
    INNER JOIN image ON prediction.image_id = image.image_id
    WHERE prediction.view = 'clean' AND image.split = 'test'
    GROUP BY prediction.model_id
),

taught AS (
    SELECT
        student_teacher.student_id,
        count(*) AS teachers,
        strict_mean(alone.accuracy) AS average,
        CASE WHEN count(*) = count(alone.accuracy) THEN max(alone.accuracy) END AS best
    FROM student_teacher
    LEFT JOIN alone ON student_teacher.teacher_id = alone.model_id
    GROUP BY student_teacher.student_id
)

SELECT
    student.model_id AS student_id,
    student.block,
    student.condition_id,
    student.arm,
    student.teacher_strength,
    condition.teacher_strengths,
    taught.teachers,
    together.accuracy AS test_accuracy_ensemble,
    taught.average AS test_accuracy_teachers,
    taught.best AS test_accuracy_best_teacher,
    together.accuracy - taught.average AS gain_over_teachers,
    together.accuracy - taught.best AS gain_over_best_teacher
FROM model AS student
INNER JOIN condition ON student.condition_id = condition.condition_id
INNER JOIN taught ON student.model_id = taught.student_id
LEFT JOIN together ON student.model_id = together.student_id
WHERE student.role = 'student';
