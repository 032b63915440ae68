-- Question: How alike do teachers look if the masks are cut at another threshold?
-- Returns: One row per strength (the mean of a pair of two): mean IoU of the teachers' pairs at the
-- study's own threshold and at the two others, over seeds, pairs and images where it is defined.
-- Change: The thresholds 0.25 and 0.6, fractions of a map's range.
WITH overlap AS (
    SELECT
        'own' AS threshold,
        *
    FROM attention_iou
    UNION ALL
    SELECT
        'low' AS threshold,
        *
    FROM attention_iou_at(0.25)
    UNION ALL
    SELECT
        'high' AS threshold,
        *
    FROM attention_iou_at(0.6)
)

SELECT
    (teacher.strength + other.strength) / 2 AS teacher_strength,
    avg(overlap.iou) FILTER (WHERE overlap.threshold = 'low') AS iou_at_0_25,
    avg(overlap.iou) FILTER (WHERE overlap.threshold = 'own') AS iou_at_own,
    avg(overlap.iou) FILTER (WHERE overlap.threshold = 'high') AS iou_at_0_60
FROM overlap
INNER JOIN study ON overlap.method = study.attention_method
INNER JOIN model_pair AS pair ON overlap.model_a = pair.model_a AND overlap.model_b = pair.model_b
INNER JOIN model AS teacher ON pair.model_a = teacher.model_id
INNER JOIN model AS other ON pair.model_b = other.model_id
WHERE pair.kind = 'teacher_teacher'
GROUP BY (teacher.strength + other.strength) / 2
ORDER BY teacher_strength;
