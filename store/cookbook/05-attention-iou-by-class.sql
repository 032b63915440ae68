-- Question: For which classes do teachers look at different places?
-- Returns: One row per strength (the mean of a pair of two) and class: mean IoU over seeds and
-- pairs of teachers, and on how many images it is undefined.
SELECT
    (teacher.strength + other.strength) / 2 AS teacher_strength,
    by_class.label,
    avg(by_class.attention_iou) AS attention_iou,
    sum(by_class.of_images - by_class.images)::BIGINT AS undefined
FROM attention_iou_by_class AS by_class
INNER JOIN study ON by_class.method = study.attention_method
INNER JOIN model_pair AS pair
    ON by_class.model_a = pair.model_a AND by_class.model_b = pair.model_b
INNER JOIN model AS teacher ON pair.model_a = teacher.model_id
INNER JOIN model AS other ON pair.model_b = other.model_id
WHERE pair.kind = 'teacher_teacher'
GROUP BY (teacher.strength + other.strength) / 2, by_class.label
ORDER BY teacher_strength, by_class.label;
