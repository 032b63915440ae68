-- How far the teachers' augmentation moves the data, and how much it varies them.
-- Grain: (student_id). Ratios, 0 or more.
-- NULL when no teacher of the block was trained without augmentation (but for the published
-- form), or a teacher that is used failed.
CREATE VIEW level_measures AS
WITH teacher_level AS (
    SELECT
        student_teacher.student_id,
        student.block,
        teacher.model_id AS teacher_id,
        teacher.view
    FROM student_teacher
    INNER JOIN model AS student ON student_teacher.student_id = student.model_id
    INNER JOIN model AS teacher ON student_teacher.teacher_id = teacher.model_id
),

accuracy AS (
    SELECT
        prediction.model_id,
        prediction.view,
        strict_mean((prediction.predicted = image.label)::INTEGER) AS accuracy
    FROM prediction
    INNER JOIN image ON prediction.image_id = image.image_id
    INNER JOIN model ON prediction.model_id = model.model_id
    WHERE image.split = 'test' AND model.role = 'teacher'
    GROUP BY prediction.model_id, prediction.view
),

ratio AS (
    SELECT
        shown.model_id,
        shown.view,
        shown.accuracy / nullif(clean.accuracy, 0) AS ratio
    FROM accuracy AS shown
    INNER JOIN accuracy AS clean ON shown.model_id = clean.model_id
    WHERE clean.view = 'clean'
),

final_loss AS (
    SELECT
        model.model_id,
        model.block,
        model.strength,
        epoch.train_loss
    FROM model
    LEFT JOIN epoch
        ON
            model.model_id = epoch.model_id
            AND model.epochs = epoch.epoch
            AND model.status = 'complete'
    WHERE model.role = 'teacher'
),

-- affinity: of the teachers trained without augmentation, on the level's view
graded AS (
    SELECT DISTINCT
        student_id,
        block,
        view
    FROM teacher_level
),

level_affinity AS (
    SELECT
        graded.student_id,
        graded.view,
        strict_mean(ratio.ratio) AS affinity
    FROM graded
    INNER JOIN model AS unaugmented
        ON
            graded.block = unaugmented.block
            AND unaugmented.role = 'teacher'
            AND unaugmented.strength = 0
    LEFT JOIN ratio ON unaugmented.model_id = ratio.model_id AND graded.view = ratio.view
    GROUP BY graded.student_id, graded.view
),

-- of an ensemble: the mean over its teachers, whose levels may differ
mixed AS (
    SELECT
        teacher_level.student_id,
        strict_mean(level_affinity.affinity) AS affinity
    FROM teacher_level
    INNER JOIN level_affinity
        ON
            teacher_level.student_id = level_affinity.student_id
            AND teacher_level.view = level_affinity.view
    GROUP BY teacher_level.student_id
),

own AS (
    SELECT
        teacher_level.student_id,
        any_value(teacher_level.block) AS block,
        strict_mean(ratio.ratio) AS affinity_published,
        strict_mean(final_loss.train_loss) AS train_loss
    FROM teacher_level
    LEFT JOIN ratio
        ON teacher_level.teacher_id = ratio.model_id AND teacher_level.view = ratio.view
    LEFT JOIN final_loss ON teacher_level.teacher_id = final_loss.model_id
    GROUP BY teacher_level.student_id
),

plain_loss AS (
    SELECT
        block,
        strict_mean(train_loss) AS train_loss
    FROM final_loss
    WHERE strength = 0
    GROUP BY block
)

SELECT
    own.student_id,
    mixed.affinity,
    own.train_loss / nullif(plain_loss.train_loss, 0) AS diversity,
    own.affinity_published
FROM own
LEFT JOIN mixed ON own.student_id = mixed.student_id
LEFT JOIN plain_loss ON own.block = plain_loss.block;
