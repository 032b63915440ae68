-- Question: Which images do most models get wrong?
-- Returns: The ten clean test images that the largest share of all models misclassify.
-- Change: LIMIT; AND answer.model_id IN (...) for some models.
SELECT
    answer.image_id,
    answer.label,
    avg((NOT answer.correct)::INTEGER) AS wrong,
    count(answer.correct) AS models
FROM image_answer AS answer
WHERE answer.view = 'clean' AND answer.split = 'test'
GROUP BY answer.image_id, answer.label
ORDER BY wrong DESC NULLS LAST, answer.image_id ASC
LIMIT 10;
