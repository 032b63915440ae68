-- Question: On which images do the strongest augmented teachers look at the most different places?
-- Returns: The ten images with the lowest mean IoU over seeds and pairs.
-- Change: LIMIT; the strength.
WITH strongest AS (
    -- of ensembles of several sizes, the largest
    SELECT teacher_strengths
    FROM condition
    ORDER BY teacher_strength DESC, teachers DESC, condition_id ASC
    LIMIT 1
)

SELECT
    seen.image_id,
    seen.label,
    seen.attention_iou
FROM teacher_disagreement AS seen
INNER JOIN strongest ON seen.teacher_strengths = strongest.teacher_strengths
ORDER BY seen.attention_iou ASC NULLS LAST, seen.image_id ASC
LIMIT 10;
