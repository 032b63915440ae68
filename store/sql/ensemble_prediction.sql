-- What the ensemble of a student's teachers says: the mean of their logits, class by class.
-- Grain: (student_id, view, image_id): test images, on the clean view and on the student's own.
-- Absent where a teacher failed. predicted is NULL when a teacher's logits are not finite.
CREATE VIEW ensemble_prediction AS
WITH student AS (
    -- students of the same teachers share the work: it is done for the first of them
    SELECT
        model_id AS student_id,
        view,
        min(model_id) OVER (PARTITION BY teacher_ids) AS first_id
    FROM model
    WHERE role = 'student'
),

asked AS (
    SELECT
        student_id,
        first_id,
        view
    FROM student
    UNION
    SELECT
        student_id,
        first_id,
        'clean' AS view
    FROM student
),

team AS (
    SELECT DISTINCT
        asked.first_id,
        asked.view,
        student_teacher.teacher_id
    FROM asked
    INNER JOIN student_teacher ON asked.first_id = student_teacher.student_id
),

team_size AS (
    SELECT
        student_id,
        count(*) AS teachers
    FROM student_teacher
    GROUP BY student_id
),

spoken AS (
    SELECT
        team.first_id,
        team.view,
        prediction.image_id,
        prediction.predicted,
        unnest(prediction.logits)::DOUBLE AS logit,
        generate_subscripts(prediction.logits, 1) AS place
    FROM team
    INNER JOIN prediction
        ON team.teacher_id = prediction.model_id AND team.view = prediction.view
    INNER JOIN image ON prediction.image_id = image.image_id AND image.split = 'test'
),

averaged AS (
    SELECT
        spoken.first_id,
        spoken.view,
        spoken.image_id,
        spoken.place,
        avg(spoken.logit) AS logit,
        count(spoken.predicted) = count(*) AS finite
    FROM spoken
    INNER JOIN team_size ON spoken.first_id = team_size.student_id
    GROUP BY spoken.first_id, spoken.view, spoken.image_id, spoken.place
    HAVING count(*) = any_value(team_size.teachers)
),

ensemble AS (
    SELECT
        first_id,
        view,
        image_id,
        list(logit ORDER BY place) AS logits,
        bool_and(finite) AS finite
    FROM averaged
    GROUP BY first_id, view, image_id
)

SELECT
    asked.student_id,
    ensemble.view,
    ensemble.image_id,
    ensemble.logits,
    CASE
        WHEN ensemble.finite
            THEN (list_position(ensemble.logits, list_max(ensemble.logits)) - 1)::INTEGER
    END AS predicted
FROM ensemble
INNER JOIN asked ON ensemble.first_id = asked.first_id AND ensemble.view = asked.view;
