-- Every measure that can be taken on half of the test images.
-- Grain: (student_id, half), half one of all, a, b: every student, failed ones too.
-- Units and ranges: see the columns' comments. Measures that need an estimator come from the
-- table `estimate`.
-- NULL when a model that the measure uses failed or its logits are not finite, when the measure
-- is undefined (0/0), and estimators' measures before the analysis.
CREATE VIEW measures_by_half AS
WITH student AS (
    SELECT
        model_id AS student_id,
        block,
        condition_id,
        arm,
        teacher_strength,
        strength AS student_strength,
        unnest(['all', 'a', 'b']) AS half
    FROM model
    WHERE role = 'student'
),

measured AS MATERIALIZED (
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
        strict_mean(measured.test_accuracy) AS test_accuracy_teachers,
        strict_mean(measured.mask_area) AS mask_area_teachers
    FROM student
    INNER JOIN student_teacher ON student.student_id = student_teacher.student_id
    LEFT JOIN measured
        ON student_teacher.teacher_id = measured.model_id AND student.half = measured.half
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

estimated AS (
    SELECT
        student_id,
        half,
        max(value) FILTER (
            WHERE measure = 'mutual_information_bits'
        ) AS mutual_information_bits,
        max(value) FILTER (
            WHERE measure = 'mutual_information_second_bits'
        ) AS mutual_information_second_bits,
        max(value) FILTER (
            WHERE measure = 'conditional_mutual_information_bits'
        ) AS conditional_mutual_information_bits,
        max(value) FILTER (
            WHERE measure = 'adjusted_mutual_information'
        ) AS adjusted_mutual_information,
        max(value) FILTER (
            WHERE measure = 'attention_iou_adjusted'
        ) AS attention_iou_adjusted,
        max(value) FILTER (
            WHERE measure = 'attention_rank_correlation'
        ) AS attention_rank_correlation,
        max(value) FILTER (
            WHERE measure = 'attention_iou_adjusted_teacher_student'
        ) AS attention_iou_adjusted_teacher_student,
        max(value) FILTER (
            WHERE measure = 'attention_rank_correlation_teacher_student'
        ) AS attention_rank_correlation_teacher_student
    FROM estimate
    GROUP BY student_id, half
)

SELECT
    student.student_id,
    student.half,
    student.block,
    student.condition_id,
    student.arm,
    student.teacher_strength,
    student.student_strength,
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
    estimated.mutual_information_bits,
    estimated.mutual_information_second_bits,
    estimated.conditional_mutual_information_bits,
    estimated.adjusted_mutual_information,
    teacher_teacher.attention_iou,
    estimated.attention_iou_adjusted,
    estimated.attention_rank_correlation,
    teacher_student.attention_iou AS attention_iou_teacher_student,
    estimated.attention_iou_adjusted_teacher_student,
    estimated.attention_rank_correlation_teacher_student,
    teacher_teacher.agreement AS agreement_teacher_teacher,
    taught.test_accuracy_teachers,
    expected.ensemble_accuracy AS test_accuracy_ensemble
FROM student
LEFT JOIN measured AS own ON student.student_id = own.model_id AND student.half = own.half
LEFT JOIN taught ON student.student_id = taught.student_id AND student.half = taught.half
LEFT JOIN teacher_teacher
    ON student.student_id = teacher_teacher.student_id AND student.half = teacher_teacher.half
LEFT JOIN teacher_student
    ON student.student_id = teacher_student.student_id AND student.half = teacher_student.half
LEFT JOIN expected ON student.student_id = expected.student_id AND student.half = expected.half
LEFT JOIN estimated ON student.student_id = estimated.student_id AND student.half = estimated.half;
