-- Question: What does an ensemble gain over its single teachers?
-- Returns: One row per size and mean strength: mean test accuracy over seeds of the ensemble, of its teachers,
-- and of its best teacher (chosen on the test images).
WITH ensemble AS (
    -- arms learn from the same ensembles: each counts once
    SELECT DISTINCT
        block,
        teacher_strengths,
        teacher_strength,
        teachers,
        test_accuracy_ensemble,
        test_accuracy_teachers,
        test_accuracy_best_teacher
    FROM ensemble_gain
)

SELECT
    teachers AS size,
    teacher_strength,
    count(test_accuracy_ensemble) AS ensembles,
    avg(test_accuracy_ensemble ORDER BY block, teacher_strengths) AS ensemble,
    avg(test_accuracy_teachers ORDER BY block, teacher_strengths) AS teachers,
    avg(test_accuracy_best_teacher ORDER BY block, teacher_strengths) AS best_teacher
FROM ensemble
GROUP BY ensemble.teachers, teacher_strength
ORDER BY size, teacher_strength;
