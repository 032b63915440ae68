-- Question: How much does picking the best epoch on the test images flatter a student?
-- Returns: One row per arm and strength: last and best test accuracy among the epochs evaluated,
-- and their mean difference over the seeds whose
-- student did not fail.
WITH reached AS (
    SELECT
        curve.model_id,
        curve.arm,
        curve.teacher_strength,
        max(curve.test_accuracy) AS best,
        arg_max(curve.test_accuracy, curve.epoch) FILTER (
            WHERE curve.test_accuracy IS NOT NULL
        ) AS final
    FROM learning_curve AS curve
    INNER JOIN model ON curve.model_id = model.model_id
    WHERE model.role = 'student' AND model.status = 'complete'
    GROUP BY curve.model_id, curve.arm, curve.teacher_strength
)

SELECT
    arm,
    teacher_strength,
    avg(final ORDER BY model_id) AS last_epoch,
    avg(best ORDER BY model_id) AS best_epoch,
    avg(best - final ORDER BY model_id) AS flattery
FROM reached
GROUP BY arm, teacher_strength
ORDER BY arm, teacher_strength;
