-- The table `measured`, made again from the images: every measure that SQL computes.
-- Grain: (student_id, half), half one of all, a, b: every student, failed ones too.
-- Units and ranges: see the columns' comments.
-- NULL when a model that the measure uses failed or its logits are not finite, when the measure
-- is undefined (0/0), and on halves where it needs all test images.
CREATE VIEW measured_again AS
WITH student AS (
    SELECT
        model_id AS student_id,
        unnest(['all', 'a', 'b']) AS half
    FROM model
    WHERE role = 'student'
),

alone AS MATERIALIZED (
    SELECT * FROM model_measures_by_half
),

compared AS MATERIALIZED (
    SELECT * FROM pair_measures_by_half
),

-- teachers, mean over teachers
taught AS (
    SELECT
        student.student_id,
        student.half,
        strict_mean(alone.test_accuracy) AS test_accuracy_teachers,
        strict_mean(alone.mask_area) AS mask_area_teachers
    FROM student
    INNER JOIN student_teacher ON student.student_id = student_teacher.student_id
    LEFT JOIN alone
        ON student_teacher.teacher_id = alone.model_id AND student.half = alone.half
    GROUP BY student.student_id, student.half
),

-- pairs of teachers, mean over pairs
teacher_teacher AS (
    SELECT
        one.student_id,
        compared.half,
        strict_mean(compared.attention_iou) AS attention_iou,
        strict_mean(compared.agreement) AS agreement
    FROM student_teacher AS one
    INNER JOIN student_teacher AS other ON one.student_id = other.student_id
    INNER JOIN compared
        ON one.teacher_id = compared.model_a AND other.teacher_id = compared.model_b
    GROUP BY one.student_id, compared.half
),

-- teachers and student, mean over teachers
teacher_student AS (
    SELECT
        model_b AS student_id,
        half,
        strict_mean(attention_iou) AS attention_iou
    FROM compared
    WHERE kind = 'teacher_student'
    GROUP BY model_b, half
),

-- ensemble and student
answer AS (
    SELECT
        answer.student_id,
        test_half.half,
        (answer.ensemble_class = answer.student_class)::INTEGER AS same,
        (answer.ensemble_class = test_half.label)::INTEGER AS ensemble_correct,
        (answer.student_class = test_half.label)::INTEGER AS student_correct,
        answer.kl_ensemble_student_nats
    FROM student_answer AS answer
    INNER JOIN test_half ON answer.image_id = test_half.image_id
    WHERE answer.view = 'clean'
),

mimicry AS (
    SELECT
        student_id,
        half,
        strict_mean(same) AS agreement,
        strict_mean(kl_ensemble_student_nats) AS predictive_kl_nats,
        strict_mean(ensemble_correct) AS ensemble_accuracy,
        strict_mean(student_correct) AS student_accuracy,
        strict_mean((ensemble_correct = student_correct)::INTEGER) AS observed
    FROM answer
    GROUP BY student_id, half
),

expected AS (
    SELECT
        *,
        ensemble_accuracy * student_accuracy
        + (1 - ensemble_accuracy) * (1 - student_accuracy) AS by_chance,
        ensemble_accuracy IN (0, 1) OR student_accuracy IN (0, 1) AS constant
    FROM mimicry
),

-- features, mean over pairs of teachers
featured AS (
    SELECT
        one.student_id,
        strict_mean(pair.cka) AS cka
    FROM student_teacher AS one
    INNER JOIN student_teacher AS other ON one.student_id = other.student_id
    INNER JOIN model_pair AS pair
        ON one.teacher_id = pair.model_a AND other.teacher_id = pair.model_b
    GROUP BY one.student_id
),

-- features, mean over teachers
featured_student AS (
    SELECT
        model_b AS student_id,
        strict_mean(cka) AS cka
    FROM model_pair
    WHERE kind = 'teacher_student'
    GROUP BY model_b
)

SELECT
    student.student_id,
    student.half,
    own.test_accuracy,
    own.train_accuracy,
    own.generalization_gap,
    own.loss_gap_nats,
    own.entropy_nats,
    own.ece,
    own.ece_adaptive,
    own.mask_area,
    taught.mask_area_teachers,
    expected.agreement,
    CASE
        WHEN NOT expected.constant
            THEN (expected.observed - expected.by_chance) / (1 - expected.by_chance)
    END AS error_consistency,
    expected.predictive_kl_nats,
    teacher_teacher.attention_iou,
    teacher_student.attention_iou AS attention_iou_teacher_student,
    teacher_teacher.agreement AS agreement_teacher_teacher,
    featured.cka,
    featured_student.cka AS cka_teacher_student,
    taught.test_accuracy_teachers,
    expected.ensemble_accuracy AS test_accuracy_ensemble,
    graded.affinity,
    graded.diversity,
    published.test_accuracy_published,
    published.train_accuracy_published,
    published.generalization_gap_published,
    published.entropy_published_nats,
    published.ece_published,
    published.agreement_published,
    published.predictive_kl_published_nats,
    published.mutual_information_published_nats,
    published.attention_iou_published,
    graded.affinity_published
FROM student
LEFT JOIN alone AS own ON student.student_id = own.model_id AND student.half = own.half
LEFT JOIN taught ON student.student_id = taught.student_id AND student.half = taught.half
LEFT JOIN teacher_teacher
    ON student.student_id = teacher_teacher.student_id AND student.half = teacher_teacher.half
LEFT JOIN teacher_student
    ON student.student_id = teacher_student.student_id AND student.half = teacher_student.half
LEFT JOIN expected ON student.student_id = expected.student_id AND student.half = expected.half
LEFT JOIN featured ON student.student_id = featured.student_id AND student.half = 'all'
LEFT JOIN featured_student
    ON student.student_id = featured_student.student_id AND student.half = 'all'
LEFT JOIN level_measures AS graded
    ON student.student_id = graded.student_id AND student.half = 'all'
LEFT JOIN published_measures AS published
    ON student.student_id = published.student_id AND student.half = 'all';
