-- Question: Which seeds diverged, and in which models?
-- Returns: One row per seed with a fault: how many teachers and students failed or give logits that
-- are not finite, and the reasons given.
SELECT
    block,
    count(*) FILTER (WHERE role = 'teacher') AS teachers,
    count(*) FILTER (WHERE role = 'student') AS students,
    sum(images_not_finite)::BIGINT AS images_not_finite,
    list_sort(list(DISTINCT divergence)) AS reasons
FROM diverged_models
GROUP BY block
ORDER BY block;
