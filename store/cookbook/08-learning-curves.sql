-- Question: How do students learn, by arm and strength?
-- Returns: One row per arm, strength and epoch: training and test loss, means over seeds; the test
-- columns are NULL where that epoch was not evaluated.
-- Change: role to 'teacher', grouped by strength.
SELECT
    arm,
    teacher_strength,
    epoch,
    count(*) AS students,
    avg(train_loss ORDER BY model_id) AS train_loss,
    avg(test_loss ORDER BY model_id) AS test_loss,
    avg(test_accuracy ORDER BY model_id) AS test_accuracy
FROM learning_curve
WHERE role = 'student'
GROUP BY arm, teacher_strength, epoch
ORDER BY arm, teacher_strength, epoch;
