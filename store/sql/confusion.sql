-- Which class a model takes for which, on clean test images.
-- Grain: (model_id, label, predicted); cells that never occur are absent. images is 1 or more.
-- predicted is NULL where the logits are not finite.
CREATE VIEW confusion AS
SELECT
    prediction.model_id,
    image.label,
    prediction.predicted,
    count(*) AS images
FROM prediction
INNER JOIN image ON prediction.image_id = image.image_id
WHERE prediction.view = 'clean' AND image.split = 'test'
GROUP BY ALL;
