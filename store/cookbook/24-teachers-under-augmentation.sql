-- Question: How well do teachers of each strength see augmented test images?
-- Returns: One row per strength trained with and view shown: accuracy over the answers of all
-- teachers and seeds whose logits are finite.
SELECT
    teacher.strength AS trained_with,
    answer.view AS shown,
    count(DISTINCT teacher.model_id) AS teachers,
    avg(answer.correct::INTEGER) AS accuracy
FROM image_answer AS answer
INNER JOIN model AS teacher ON answer.model_id = teacher.model_id
WHERE teacher.role = 'teacher' AND answer.split = 'test'
GROUP BY teacher.strength, answer.view
ORDER BY teacher.strength, answer.view;
