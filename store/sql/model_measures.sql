-- What is measured of one model alone, teachers and students, on all clean test images.
-- Grain: (model_id). Accuracies, ece, ece_adaptive and mask_area in [0, 1].
-- NULL when the model failed or any logits used are not finite; mask_area when every map is
-- undefined.
CREATE VIEW model_measures AS
SELECT
    model.model_id,
    model.block,
    model.role,
    model.arm,
    model.strength,
    model.teacher_strength,
    model.status,
    measured.test_accuracy,
    measured.train_accuracy,
    measured.generalization_gap,
    measured.loss_gap_nats,
    measured.entropy_nats,
    measured.ece,
    measured.ece_adaptive,
    measured.mask_area
FROM model
LEFT JOIN model_measures_by_half AS measured
    ON model.model_id = measured.model_id AND measured.half = 'all';
