-- The published study's computations, reproduced with what makes them mislead: per batch of 128
-- test images, in order of image_id, augmented at the student's strength, then averaged over
-- batches with equal weight; and the best epoch's test accuracy. Attention is cam_sum's; of
-- transformers, which have no class activation maps, rollout's: a store has one of the two.
-- Grain: (student_id). Units and ranges: see the columns of `measures`.
-- NULL when the student or a teacher failed or their logits are not finite; attention_iou_published
-- is of the teachers alone, and NULL for one teacher or where no batch has a mask.
CREATE VIEW published_measures AS
WITH student AS (
    SELECT
        model_id AS student_id,
        view,
        epochs
    FROM model
    WHERE role = 'student' AND status = 'complete'
),

batched AS (
    SELECT
        image_id,
        ((row_number() OVER (ORDER BY image_id)) - 1) // 128 AS batch
    FROM image
    WHERE split = 'test'
),

curve AS (
    SELECT
        student.student_id,
        max(epoch.test_accuracy) AS test_accuracy_published,
        max(epoch.train_accuracy) FILTER (
            WHERE epoch.epoch = student.epochs
        ) AS train_accuracy_published
    FROM student
    INNER JOIN epoch ON student.student_id = epoch.model_id
    GROUP BY student.student_id
),

entropy_batch AS (
    SELECT
        student.student_id,
        batched.batch,
        strict_mean(answer.entropy_nats) AS entropy_nats
    FROM student
    INNER JOIN image_answer AS answer
        ON student.student_id = answer.model_id AND student.view = answer.view
    INNER JOIN batched ON answer.image_id = batched.image_id
    GROUP BY student.student_id, batched.batch
),

entropy AS (
    SELECT
        student_id,
        strict_mean(entropy_nats) AS entropy_published_nats
    FROM entropy_batch
    GROUP BY student_id
),

confidence_bin AS (
    SELECT
        student.student_id,
        abs(strict_mean(answer.correct::INTEGER) - strict_mean(answer.confidence)) AS gap
    FROM student
    INNER JOIN image_answer AS answer ON student.student_id = answer.model_id
    WHERE answer.view = 'clean' AND answer.split = 'test'
    GROUP BY student.student_id, least(ceil(10 * answer.confidence), 10)
),

calibration AS (
    SELECT
        student_id,
        CASE WHEN count(*) = count(gap) THEN sum(gap) / 10 END AS ece_published
    FROM confidence_bin
    GROUP BY student_id
),

answer AS (
    SELECT
        student.student_id,
        batched.batch,
        answer.ensemble_class,
        answer.student_class,
        answer.kl_student_ensemble_nats
    FROM student
    INNER JOIN student_answer AS answer
        ON student.student_id = answer.student_id AND student.view = answer.view
    INNER JOIN batched ON answer.image_id = batched.image_id
),

mimicry_batch AS (
    SELECT
        student_id,
        batch,
        strict_mean((ensemble_class = student_class)::INTEGER) AS agreement,
        10 * strict_mean(kl_student_ensemble_nats) AS divergence
    FROM answer
    GROUP BY student_id, batch
),

mimicry AS (
    SELECT
        student_id,
        strict_mean(agreement) AS agreement_published,
        strict_mean(divergence) AS predictive_kl_published_nats
    FROM mimicry_batch
    GROUP BY student_id
),

cell AS (
    SELECT
        student_id,
        batch,
        ensemble_class,
        student_class,
        count(*) AS images
    FROM answer
    GROUP BY student_id, batch, ensemble_class, student_class
),

cell_margin AS (
    SELECT
        *,
        sum(images) OVER (PARTITION BY student_id, batch, ensemble_class) AS by_ensemble,
        sum(images) OVER (PARTITION BY student_id, batch, student_class) AS by_student,
        sum(images) OVER (PARTITION BY student_id, batch) AS total
    FROM cell
),

information_batch AS (
    SELECT
        student_id,
        batch,
        sum(images / total * ln(images * total / (by_ensemble * by_student))) AS information
    FROM cell_margin
    GROUP BY student_id, batch
),

information AS (
    SELECT
        student_id,
        avg(information) AS mutual_information_published_nats
    FROM information_batch
    GROUP BY student_id
),

teacher_pair AS (
    SELECT
        student.model_id AS student_id,
        student.view,
        pair.model_a,
        pair.model_b
    FROM model AS student
    INNER JOIN student_teacher AS one ON student.model_id = one.student_id
    INNER JOIN student_teacher AS other ON student.model_id = other.student_id
    INNER JOIN model_pair AS pair
        ON one.teacher_id = pair.model_a AND other.teacher_id = pair.model_b
),

-- two arms may ask for one pair on one view: it is compared once
asked_pair AS (
    SELECT DISTINCT
        view,
        model_a,
        model_b
    FROM teacher_pair
),

overlap_batch AS (
    SELECT
        pair.view,
        pair.model_a,
        pair.model_b,
        sum(
            shared_cells(
                a.mask_0, a.mask_1, a.mask_2, a.mask_3, b.mask_0, b.mask_1, b.mask_2, b.mask_3
            )
        ) AS shared,
        sum(a.mask_cells + b.mask_cells) AS cells
    FROM asked_pair AS pair
    INNER JOIN attention AS a
        ON
            pair.model_a = a.model_id
            AND pair.view = a.view
            AND a.method IN ('cam_sum', 'rollout')
    INNER JOIN attention AS b
        ON
            pair.model_b = b.model_id
            AND pair.view = b.view
            AND a.image_id = b.image_id
            AND b.method IN ('cam_sum', 'rollout')
    INNER JOIN batched ON a.image_id = batched.image_id
    GROUP BY pair.view, pair.model_a, pair.model_b, batched.batch
),

overlap AS (
    SELECT
        view,
        model_a,
        model_b,
        avg(shared / nullif(cells - shared, 0)) AS iou
    FROM overlap_batch
    GROUP BY view, model_a, model_b
),

attended AS (
    SELECT
        pair.student_id,
        strict_mean(overlap.iou) AS attention_iou_published
    FROM teacher_pair AS pair
    LEFT JOIN overlap
        ON
            pair.view = overlap.view
            AND pair.model_a = overlap.model_a
            AND pair.model_b = overlap.model_b
    GROUP BY pair.student_id
)

SELECT
    student.model_id AS student_id,
    curve.test_accuracy_published,
    curve.train_accuracy_published,
    curve.train_accuracy_published - curve.test_accuracy_published AS generalization_gap_published,
    entropy.entropy_published_nats,
    calibration.ece_published,
    mimicry.agreement_published,
    mimicry.predictive_kl_published_nats,
    CASE
        WHEN mimicry.agreement_published IS NOT NULL
            THEN information.mutual_information_published_nats
    END AS mutual_information_published_nats,
    attended.attention_iou_published
FROM model AS student
LEFT JOIN curve ON student.model_id = curve.student_id
LEFT JOIN entropy ON student.model_id = entropy.student_id
LEFT JOIN calibration ON student.model_id = calibration.student_id
LEFT JOIN mimicry ON student.model_id = mimicry.student_id
LEFT JOIN information ON student.model_id = information.student_id
LEFT JOIN attended ON student.model_id = attended.student_id
WHERE student.role = 'student';
