-- Models whose training failed, or that give logits that are not finite: which seeds to look at.
-- Grain: (model_id); models without fault are absent. images_not_finite counts clean test images,
-- and is 0 where the model failed, as it answers none.
-- NULL: slot for a student; arm and teacher_strength for a teacher; teacher_strength for a student
-- without teachers.
CREATE VIEW diverged_models AS
WITH not_finite AS (
    SELECT
        prediction.model_id,
        count(*) AS images
    FROM prediction
    INNER JOIN image ON prediction.image_id = image.image_id
    WHERE
        prediction.view = 'clean'
        AND image.split = 'test'
        AND prediction.predicted IS NULL
    GROUP BY prediction.model_id
)

SELECT
    model.block,
    model.model_id,
    model.role,
    model.slot,
    model.arm,
    model.strength,
    model.teacher_strength,
    model.status,
    model.epochs,
    coalesce(model.reason, 'the logits are not finite') AS divergence,
    coalesce(not_finite.images, 0) AS images_not_finite
FROM model
LEFT JOIN not_finite ON model.model_id = not_finite.model_id
WHERE model.status = 'failed' OR not_finite.images IS NOT NULL;
