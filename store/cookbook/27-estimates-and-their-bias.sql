-- Question: How much bias was subtracted from the estimated measures?
-- Returns: One row per measure and estimator, on all test images: estimates, those without a value,
-- mean value and mean bias subtracted.
SELECT
    measure,
    estimator,
    count(*) AS estimates,
    count(*) FILTER (WHERE value IS NULL) AS without_value,
    avg(value ORDER BY student_id) AS mean_value,
    avg(bias ORDER BY student_id) AS mean_bias
FROM estimate
WHERE half = 'all'
GROUP BY measure, estimator
ORDER BY measure, estimator;
