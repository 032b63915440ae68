-- One model's answer to one view of one image, whichever way the store keeps logits.
-- Grain: (model_id, view, image_id), every image that the model was shown.
-- predicted is NULL when the logits are not finite; logits are never NULL.
CREATE VIEW prediction AS
SELECT
    model_id,
    view,
    image_id,
    predicted,
    CASE
        WHEN halves IS NULL THEN logits
        ELSE list_transform(
            unpacked_halves(halves, classes), LAMBDA half: half_value(half)
        )
    END AS logits
FROM stored_prediction;
