-- Question: Which classes do teachers and students find hard?
-- Returns: One row per role and class: accuracy over the answers of all models to clean test images
-- whose logits are finite.
SELECT
    model.role,
    confusion.label,
    coalesce(sum(confusion.images) FILTER (WHERE confusion.predicted = confusion.label), 0)
    / sum(confusion.images) AS accuracy,
    sum(confusion.images)::BIGINT AS answers
FROM confusion
INNER JOIN model ON confusion.model_id = model.model_id
WHERE confusion.predicted IS NOT NULL
GROUP BY model.role, confusion.label
ORDER BY model.role, confusion.label;
