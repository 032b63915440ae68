-- Question: How do overfitting, mimicry and the teachers' attention change with their augmentation?
-- Returns: One row per arm and strength: means over the seeds in which a measure is defined, the
-- standard deviation of the gap over seeds, and the students that have a gap.
-- Change: Any column of measures in place of those named.
SELECT
    arm,
    teacher_strength,
    count(generalization_gap) AS students,
    avg(generalization_gap) AS generalization_gap,
    stddev_samp(generalization_gap) AS generalization_gap_sd,
    avg(agreement) AS agreement,
    avg(attention_iou) AS attention_iou
FROM measures
GROUP BY arm, teacher_strength
ORDER BY arm, teacher_strength;
