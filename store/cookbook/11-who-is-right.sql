-- Question: When student and ensemble differ, who is right?
-- Returns: One row per arm and strength: shares of clean test images on which both, one or neither
-- is right, over seeds.
WITH answer AS (
    SELECT
        student.arm,
        student.teacher_strength,
        contingency.images,
        contingency.ensemble_class = contingency.label AS ensemble_right,
        contingency.student_class = contingency.label AS student_right
    FROM contingency
    INNER JOIN model AS student ON contingency.student_id = student.model_id
    WHERE contingency.half = 'all'
)

SELECT
    arm,
    teacher_strength,
    sum(images * (ensemble_right AND student_right)::INTEGER) / sum(images) AS both_right,
    sum(images * (ensemble_right AND NOT student_right)::INTEGER) / sum(images) AS ensemble_alone,
    sum(images * (student_right AND NOT ensemble_right)::INTEGER) / sum(images) AS student_alone,
    sum(images * (NOT ensemble_right AND NOT student_right)::INTEGER) / sum(images) AS neither
FROM answer
GROUP BY arm, teacher_strength
ORDER BY arm, teacher_strength;
