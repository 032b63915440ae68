-- Question: How long did the whole study train, and on which machines?
-- Returns: One row per machine and environment: seed blocks, models, and their training time in
-- hours.
SELECT
    shard.host,
    environment.processor,
    environment.gpu,
    environment.torch,
    count(DISTINCT shard.block) AS blocks,
    count(*) AS models,
    sum(model.train_seconds ORDER BY model.model_id) / 3600 AS training_hours
FROM shard
INNER JOIN environment ON shard.environment_id = environment.environment_id
INNER JOIN model ON shard.block = model.block
GROUP BY shard.host, environment.processor, environment.gpu, environment.torch
ORDER BY ALL;
