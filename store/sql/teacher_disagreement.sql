-- How far the teachers of one ensemble disagree on each clean test image, over all seeds: in
-- what they say, and in where they look.
-- Grain: (teacher_strengths, image_id): ensembles of one composition. disagreement in [0, 1] is the
-- share of pairs of teachers of one ensemble that name different classes; pairs are those whose
-- logits are finite. attention_iou in [0, 1] is the mean over pairs where it is defined. Absent for
-- ensembles of one teacher and where all pairs have a failed teacher; disagreement is NULL when no
-- pair's logits are finite, attention_iou when it is undefined for every pair.
CREATE VIEW teacher_disagreement AS
WITH team AS (
    -- two arms may learn from one pair: it is counted once
    SELECT DISTINCT
        condition.teacher_strengths,
        student.teacher_strength,
        pair.model_a,
        pair.model_b
    FROM model AS student
    INNER JOIN condition ON student.condition_id = condition.condition_id
    INNER JOIN student_teacher AS one ON student.model_id = one.student_id
    INNER JOIN student_teacher AS other ON student.model_id = other.student_id
    INNER JOIN model_pair AS pair
        ON one.teacher_id = pair.model_a AND other.teacher_id = pair.model_b
),

attended AS (
    SELECT
        overlap.model_a,
        overlap.model_b,
        overlap.image_id,
        overlap.iou
    FROM attention_iou AS overlap
    INNER JOIN study ON overlap.method = study.attention_method
)

SELECT
    team.teacher_strength,
    team.teacher_strengths,
    image.image_id,
    image.label,
    avg((a.predicted != b.predicted)::INTEGER) AS disagreement,
    count(a.predicted != b.predicted) AS pairs,
    -- sums of floats depend on their order, and blocks come in any
    avg(attended.iou ORDER BY team.model_a, team.model_b) AS attention_iou
FROM team
INNER JOIN prediction AS a ON team.model_a = a.model_id AND a.view = 'clean'
INNER JOIN prediction AS b
    ON team.model_b = b.model_id AND b.view = 'clean' AND a.image_id = b.image_id
INNER JOIN image ON a.image_id = image.image_id AND image.split = 'test'
LEFT JOIN attended
    ON
        team.model_a = attended.model_a
        AND team.model_b = attended.model_b
        AND a.image_id = attended.image_id
GROUP BY team.teacher_strength, team.teacher_strengths, image.image_id, image.label;
