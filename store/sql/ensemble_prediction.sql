-- What the ensemble of a student's teachers says: the mean of their logits, class by class.
-- Grain: (student_id, view, image_id): test images, on the clean view and on the student's own.
-- Absent where a teacher failed. predicted is NULL when a teacher's logits are not finite.
CREATE VIEW ensemble_prediction AS
WITH student AS (
    -- students of the same teachers share the work: it is done for the first of them
    SELECT
        model_id AS student_id,
        view,
        teacher_ids,
        min(model_id) OVER (PARTITION BY teacher_ids) AS first_id
    FROM model
    WHERE role = 'student'
),

asked AS (
    SELECT
        student_id,
        first_id,
        teacher_ids,
        view
    FROM student
    UNION
    SELECT
        student_id,
        first_id,
        teacher_ids,
        'clean' AS view
    FROM student
),

team AS (
    SELECT DISTINCT
        first_id,
        view,
        len(teacher_ids) AS teachers,
        unnest(teacher_ids) AS teacher_id
    FROM asked
),

spoken AS (
    SELECT
        team.first_id,
        team.view,
        prediction.image_id,
        any_value(team.teachers) AS teachers,
        count(*) = count(prediction.predicted) AS finite,
        list(prediction.logits::DOUBLE[] ORDER BY team.teacher_id) AS said
    FROM team
    INNER JOIN prediction
        ON team.teacher_id = prediction.model_id AND team.view = prediction.view
    INNER JOIN image ON prediction.image_id = image.image_id AND image.split = 'test'
    GROUP BY team.first_id, team.view, prediction.image_id
    HAVING count(*) = any_value(team.teachers)
),

-- one and two teachers have a short way; the last way is for any number, and slower
ensemble AS (
    SELECT
        first_id,
        view,
        image_id,
        finite,
        CASE teachers
            WHEN 1 THEN said[1]
            WHEN 2
                THEN list_transform(
                    list_zip(said[1], said[2]), LAMBDA pair: (pair[1] + pair[2]) / 2
                )
            ELSE list_transform(
                range(1, len(said[1]) + 1),
                LAMBDA place: list_avg(list_slice(flatten(said), place, -1, len(said[1])))
            )
        END AS logits
    FROM spoken
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
