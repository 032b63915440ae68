-- Question: What does the strongest augmentation do, against none, within each seed?
-- Returns: One row per arm and measure: the mean and standard deviation over seeds of the paired
-- difference, and in how many seeds it is below zero.
WITH ends AS (
    SELECT
        min(teacher_strength) AS weakest,
        max(teacher_strength) AS strongest
    FROM measures
),

compared AS (
    SELECT
        strong.arm,
        strong.block,
        strong.generalization_gap - weak.generalization_gap AS generalization_gap,
        strong.agreement - weak.agreement AS agreement,
        strong.attention_iou - weak.attention_iou AS attention_iou
    FROM measures AS strong
    INNER JOIN measures AS weak ON strong.arm = weak.arm AND strong.block = weak.block
    INNER JOIN ends
        ON strong.teacher_strength = ends.strongest AND weak.teacher_strength = ends.weakest
),

differences AS (
    SELECT
        arm,
        block,
        unnest(['generalization_gap', 'agreement', 'attention_iou']) AS measure,
        unnest([generalization_gap, agreement, attention_iou]) AS difference
    FROM compared
)

SELECT
    arm,
    measure,
    count(difference) AS seeds,
    avg(difference ORDER BY block) AS mean_difference,
    stddev_samp(difference ORDER BY block) AS sd,
    count(*) FILTER (WHERE difference < 0) AS seeds_below_zero
FROM differences
GROUP BY arm, measure
ORDER BY arm, measure;
