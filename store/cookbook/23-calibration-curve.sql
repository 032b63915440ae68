-- Question: How sure are students, and how often right, at each confidence?
-- Returns: One row per arm and tenth of confidence that occurs: images over all seeds and
-- strengths, mean confidence and accuracy.
SELECT
    student.arm,
    least(ceil(10 * answer.confidence), 10)::INTEGER AS tenth,
    count(*) AS images,
    avg(answer.confidence) AS confidence,
    avg(answer.correct::INTEGER) AS accuracy
FROM image_answer AS answer
INNER JOIN model AS student ON answer.model_id = student.model_id
WHERE
    student.role = 'student'
    AND answer.view = 'clean'
    AND answer.split = 'test'
    AND answer.confidence IS NOT NULL
GROUP BY student.arm, tenth
ORDER BY student.arm, tenth;
