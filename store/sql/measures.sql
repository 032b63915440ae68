-- Every measure of every student, one row each: what the analysis reads.
-- Grain: (student_id): every student, failed ones too.
-- Units and ranges: see the columns' comments, or docs/measures.md.
-- NULL when a model that the measure uses failed or its logits are not finite, when the measure
-- is undefined (0/0), and estimators' measures before the analysis.
CREATE VIEW measures AS
WITH featured AS (
    SELECT
        one.student_id,
        strict_mean(pair.cka) AS cka
    FROM student_teacher AS one
    INNER JOIN student_teacher AS other ON one.student_id = other.student_id
    INNER JOIN model_pair AS pair
        ON one.teacher_id = pair.model_a AND other.teacher_id = pair.model_b
    GROUP BY one.student_id
),

featured_student AS (
    SELECT
        model_b AS student_id,
        strict_mean(cka) AS cka
    FROM model_pair
    WHERE kind = 'teacher_student'
    GROUP BY model_b
)

SELECT
    whole.student_id,
    whole.block,
    whole.condition_id,
    whole.arm,
    whole.teacher_strength,
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
    featured.cka,
    featured_student.cka AS cka_teacher_student,
    whole.test_accuracy_teachers,
    whole.test_accuracy_ensemble,
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
FROM measures_by_half AS whole
LEFT JOIN featured ON whole.student_id = featured.student_id
LEFT JOIN featured_student ON whole.student_id = featured_student.student_id
LEFT JOIN level_measures AS graded ON whole.student_id = graded.student_id
LEFT JOIN published_measures AS published ON whole.student_id = published.student_id
WHERE whole.half = 'all';
