-- Question: Did two models end with the same weights?
-- Returns: One row per hash that several models share. A fixed and a matched student of one seed
-- and one strength are trained alike and may share theirs; any other pair is a reason to look
-- closer.
SELECT
    weights_hash,
    list_sort(list(model_id)) AS models
FROM model
WHERE weights_hash IS NOT NULL
GROUP BY weights_hash
HAVING count(*) > 1
ORDER BY weights_hash;
