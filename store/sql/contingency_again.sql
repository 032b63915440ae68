-- The table `contingency`, made again from the images: how often a student and its teachers'
-- ensemble say which classes, per true class.
-- Grain: (student_id, half, label, ensemble_class, student_class), on clean test images; cells
-- that never occur are absent. images is 1 or more.
-- Never NULL: a student is absent where it or a teacher failed, and absent from a half in which
-- any logits are not finite.
CREATE VIEW contingency_again AS
WITH answer AS (
    SELECT
        answer.student_id,
        test_half.half,
        test_half.label,
        answer.ensemble_class,
        answer.student_class
    FROM student_answer AS answer
    INNER JOIN test_half ON answer.image_id = test_half.image_id
    WHERE answer.view = 'clean'
),

defined AS (
    SELECT
        student_id,
        half
    FROM answer
    GROUP BY student_id, half
    HAVING count(*) = count(ensemble_class) AND count(*) = count(student_class)
)

SELECT
    answer.student_id,
    answer.half,
    answer.label,
    answer.ensemble_class,
    answer.student_class,
    count(*) AS images
FROM answer
INNER JOIN defined ON answer.student_id = defined.student_id AND answer.half = defined.half
GROUP BY ALL;
