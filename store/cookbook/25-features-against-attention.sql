-- Question: Do teachers with alike features look at alike places?
-- Returns: One row per strength (the mean of a pair of two): over pairs of teachers that have both,
-- mean CKA of their features, mean attention IoU, and Pearson's correlation of the two. Pairs of
-- one seed are not independent.
SELECT
    (teacher.strength + other.strength) / 2 AS teacher_strength,
    count(*) AS pairs,
    avg(pair.cka ORDER BY pair.model_a, pair.model_b) AS cka,
    avg(measured.attention_iou ORDER BY pair.model_a, pair.model_b) AS attention_iou,
    corr(pair.cka, measured.attention_iou ORDER BY pair.model_a, pair.model_b) AS pearson
FROM model_pair AS pair
INNER JOIN pair_measures_by_half AS measured
    ON pair.model_a = measured.model_a AND pair.model_b = measured.model_b
INNER JOIN model AS teacher ON pair.model_a = teacher.model_id
INNER JOIN model AS other ON pair.model_b = other.model_id
WHERE
    pair.kind = 'teacher_teacher'
    AND measured.half = 'all'
    AND pair.cka IS NOT NULL
    AND measured.attention_iou IS NOT NULL
GROUP BY (teacher.strength + other.strength) / 2
ORDER BY teacher_strength;
