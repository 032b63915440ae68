-- Question: What does an ensemble gain over its single teachers?
-- Returns: One row per size and mean strength: mean test accuracy over seeds of the ensemble, of
-- its teachers, and of its best teacher (chosen on the test images).
WITH team AS (
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
    team.teachers AS size,
    team.teacher_strength,
    count(team.test_accuracy_ensemble) AS ensembles,
    avg(team.test_accuracy_ensemble ORDER BY team.block, team.teacher_strengths) AS ensemble,
    avg(team.test_accuracy_teachers ORDER BY team.block, team.teacher_strengths) AS teachers,
    avg(
        team.test_accuracy_best_teacher ORDER BY team.block, team.teacher_strengths
    ) AS best_teacher
FROM team
GROUP BY team.teachers, team.teacher_strength
ORDER BY team.teachers, team.teacher_strength;
