-- Question: Does the student repeat its ensemble's mistakes?
-- Returns: One row per arm and strength: of the clean test images that both get wrong, the share on
-- which they name the same wrong class; NULL where there is no such image.
WITH answer AS (
    SELECT
        student.arm,
        student.teacher_strength,
        contingency.images,
        contingency.ensemble_class = contingency.label AS ensemble_right,
        contingency.student_class = contingency.label AS student_right,
        contingency.ensemble_class = contingency.student_class AS same
    FROM contingency
    INNER JOIN model AS student ON contingency.student_id = student.model_id
    WHERE contingency.half = 'all'
)

SELECT
    arm,
    teacher_strength,
    sum(images * (NOT ensemble_right AND NOT student_right)::INTEGER)::BIGINT AS both_wrong,
    sum(images * (NOT ensemble_right AND NOT student_right AND same)::INTEGER)
    / nullif(sum(images * (NOT ensemble_right AND NOT student_right)::INTEGER), 0) AS same_mistake
FROM answer
GROUP BY arm, teacher_strength
ORDER BY arm, teacher_strength;
