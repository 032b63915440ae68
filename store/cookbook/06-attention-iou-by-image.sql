-- Question: On which images do the strongest augmented teachers look at the most different places?
-- Returns: The ten images with the lowest mean IoU over seeds and pairs.
-- Change: LIMIT; the strength.
WITH strongest AS (
    SELECT max(teacher_strength) AS teacher_strength
    FROM condition
)

SELECT
    seen.image_id,
    seen.label,
    seen.attention_iou
FROM teacher_disagreement AS seen
INNER JOIN strongest ON seen.teacher_strength = strongest.teacher_strength
ORDER BY seen.attention_iou ASC NULLS LAST, seen.image_id ASC
LIMIT 10;
