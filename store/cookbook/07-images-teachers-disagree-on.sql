-- Question: On which images do teachers disagree most?
-- Returns: The ten images on which most pairs of teachers, over all ensembles, name different
-- classes.
-- Change: LIMIT; WHERE teacher_strength = 1 for one strength.
SELECT
    image_id,
    label,
    sum(disagreement * pairs) / nullif(sum(pairs), 0) AS disagreement,
    sum(pairs)::BIGINT AS pairs
FROM teacher_disagreement
GROUP BY image_id, label
ORDER BY disagreement DESC NULLS LAST, image_id ASC
LIMIT 10;
