-- How long training took, per condition: its students, and the teachers that they learned from.
-- Grain: (condition_id). Seconds of wall time, failed models included: they took time too.
-- A teacher serves every condition of its slot and strength: teacher_seconds of two conditions may
-- be the same seconds, not to be added. Multiply by a power in watts with energy_kwh.
-- Students without teachers have 0 of them. Never NULL; a condition without students is absent.
CREATE VIEW training_time AS
-- sums of floats depend on their order, and blocks come in any: hence ORDER BY
WITH lesson AS (
    SELECT DISTINCT
        student.condition_id,
        student_teacher.teacher_id
    FROM model AS student
    INNER JOIN student_teacher ON student.model_id = student_teacher.student_id
),

taught AS (
    SELECT
        lesson.condition_id,
        count(*) AS teachers_trained,
        sum(teacher.train_seconds ORDER BY teacher.model_id) AS teacher_seconds
    FROM lesson
    INNER JOIN model AS teacher ON lesson.teacher_id = teacher.model_id
    GROUP BY lesson.condition_id
),

learned AS (
    SELECT
        condition_id,
        count(*) AS students_trained,
        sum(train_seconds ORDER BY model_id) AS student_seconds,
        avg(train_seconds ORDER BY model_id) AS seconds_per_student
    FROM model
    WHERE role = 'student'
    GROUP BY condition_id
)

SELECT
    condition.condition_id,
    condition.arm,
    condition.teacher_strength,
    condition.teacher_strengths,
    condition.student_strength,
    learned.students_trained,
    learned.student_seconds,
    learned.seconds_per_student,
    coalesce(taught.teachers_trained, 0) AS teachers_trained,
    coalesce(taught.teacher_seconds, 0) AS teacher_seconds
FROM condition
INNER JOIN learned ON condition.condition_id = learned.condition_id
LEFT JOIN taught ON condition.condition_id = taught.condition_id;
