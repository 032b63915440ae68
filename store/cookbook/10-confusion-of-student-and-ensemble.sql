-- Question: Which classes does the student say where its ensemble says others?
-- Returns: One row per arm, strength, ensemble's class and student's class that differ: clean test
-- images, over seeds, the most frequent first.
-- Change: Drop the comparison to see the whole table, agreement included.
SELECT
    student.arm,
    student.teacher_strength,
    contingency.ensemble_class,
    contingency.student_class,
    sum(contingency.images)::BIGINT AS images
FROM contingency
INNER JOIN model AS student ON contingency.student_id = student.model_id
WHERE contingency.half = 'all' AND contingency.ensemble_class != contingency.student_class
GROUP BY
    student.arm,
    student.teacher_strength,
    contingency.ensemble_class,
    contingency.student_class
ORDER BY
    images DESC,
    student.arm ASC,
    student.teacher_strength ASC,
    contingency.ensemble_class ASC,
    contingency.student_class ASC;
