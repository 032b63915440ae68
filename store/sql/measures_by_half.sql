-- Every measure that can be taken on half of the test images.
-- Grain: (student_id, half), half one of all, a, b: every student, failed ones too.
-- Units and ranges: see the columns' comments. Measures that SQL computes come from the table
-- `measured`, which measured_again makes from the images; those that need an estimator come from
-- the table `estimate`.
-- NULL when a model that the measure uses failed or its logits are not finite, when the measure
-- is undefined (0/0), and estimators' measures before the analysis; of a student without teachers
-- (arm control) all that are about teachers.
CREATE VIEW measures_by_half AS
WITH estimated AS (
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
    measured.student_id,
    measured.half,
    model.block,
    model.condition_id,
    model.arm,
    model.teacher_strength,
    condition.teacher_strengths,
    condition.teachers,
    model.strength AS student_strength,
    measured.test_accuracy,
    measured.train_accuracy,
    measured.generalization_gap,
    measured.loss_gap_nats,
    measured.entropy_nats,
    measured.ece,
    measured.ece_adaptive,
    measured.mask_area,
    measured.mask_area_teachers,
    measured.agreement,
    measured.error_consistency,
    measured.predictive_kl_nats,
    estimated.mutual_information_bits,
    estimated.mutual_information_second_bits,
    estimated.conditional_mutual_information_bits,
    estimated.adjusted_mutual_information,
    measured.attention_iou,
    estimated.attention_iou_adjusted,
    estimated.attention_rank_correlation,
    measured.attention_iou_teacher_student,
    estimated.attention_iou_adjusted_teacher_student,
    estimated.attention_rank_correlation_teacher_student,
    measured.agreement_teacher_teacher,
    measured.test_accuracy_teachers,
    measured.test_accuracy_ensemble
FROM measured
INNER JOIN model ON measured.student_id = model.model_id
LEFT JOIN condition ON model.condition_id = condition.condition_id
LEFT JOIN estimated
    ON measured.student_id = estimated.student_id AND measured.half = estimated.half;
