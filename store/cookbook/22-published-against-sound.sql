-- Question: How far apart are the published study's computations and the sound ones?
-- Returns: One row per arm and strength: generalization gap and teachers' attention IoU, each
-- computed both ways, means over seeds.
SELECT
    arm,
    teacher_strength,
    avg(generalization_gap) AS gap,
    avg(generalization_gap_published) AS gap_published,
    avg(attention_iou) AS iou,
    avg(attention_iou_published) AS iou_published
FROM measures
GROUP BY arm, teacher_strength
ORDER BY arm, teacher_strength;
