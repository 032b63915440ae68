-- Every measure of every student, one row each: what the analysis reads.
-- Grain: (student_id): every student, failed ones too.
-- Units and ranges: see the columns' comments, or docs/measures.md.
-- NULL when a model that the measure uses failed or its logits are not finite, when the measure
-- is undefined (0/0), and estimators' measures before the analysis; of a student without teachers
-- (arm control) all that are about teachers.
CREATE VIEW measures AS
SELECT
    whole.student_id,
    whole.block,
    whole.condition_id,
    whole.arm,
    whole.teacher_strength,
    whole.teacher_strengths,
    whole.teachers,
    whole.student_strength,
    whole.test_accuracy,
    whole.train_accuracy,
    whole.generalization_gap,
    whole.loss_gap_nats,
    whole.entropy_nats,
    whole.ece,
    whole.ece_adaptive,
    whole.mask_area,
    whole.mask_area_teachers,
    whole.agreement,
    whole.error_consistency,
    whole.predictive_kl_nats,
    whole.mutual_information_bits,
    whole.mutual_information_second_bits,
    whole.conditional_mutual_information_bits,
    whole.adjusted_mutual_information,
    whole.attention_iou,
    whole.attention_iou_adjusted,
    whole.attention_rank_correlation,
    whole.attention_iou_teacher_student,
    whole.attention_iou_adjusted_teacher_student,
    whole.attention_rank_correlation_teacher_student,
    whole.agreement_teacher_teacher,
    measured.cka,
    measured.cka_teacher_student,
    whole.test_accuracy_teachers,
    whole.test_accuracy_ensemble,
    measured.affinity,
    measured.diversity,
    measured.test_accuracy_published,
    measured.train_accuracy_published,
    measured.generalization_gap_published,
    measured.entropy_published_nats,
    measured.ece_published,
    measured.agreement_published,
    measured.predictive_kl_published_nats,
    measured.mutual_information_published_nats,
    measured.attention_iou_published,
    measured.affinity_published
FROM measures_by_half AS whole
INNER JOIN measured
    ON whole.student_id = measured.student_id AND whole.half = measured.half
WHERE whole.half = 'all';
