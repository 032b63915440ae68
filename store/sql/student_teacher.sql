-- The teachers of every student.
-- Grain: (student_id, teacher_id). Never NULL.
CREATE VIEW student_teacher AS
SELECT
    model_id AS student_id,
    unnest(teacher_ids) AS teacher_id
FROM model
WHERE role = 'student';
