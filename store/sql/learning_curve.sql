-- How every model learned, epoch by epoch, with what it is.
-- Grain: (model_id, epoch). Accuracies in [0, 1].
-- NULL test columns: not evaluated after this epoch; NULL arm and teacher_strength: a teacher;
-- NULL teacher_strength alone: a student without teachers.
CREATE VIEW learning_curve AS
SELECT
    model.block,
    epoch.model_id,
    model.role,
    model.arm,
    model.strength,
    model.teacher_strength,
    epoch.epoch,
    epoch.learning_rate,
    epoch.train_loss,
    epoch.train_accuracy,
    epoch.test_loss,
    epoch.test_accuracy
FROM epoch
INNER JOIN model ON epoch.model_id = model.model_id;
