-- Question: By how much does overfitting change per unit of strength, seed by seed?
-- Returns: One row per arm and seed: the least-squares slope of the generalization gap on the
-- teachers' strength, and of how many students.
-- Change: generalization_gap to any measure.
SELECT
    arm,
    block,
    regr_slope(generalization_gap, teacher_strength) AS slope,
    count(generalization_gap) AS students
FROM measures
WHERE teacher_strength IS NOT NULL
GROUP BY arm, block
ORDER BY arm, block;
