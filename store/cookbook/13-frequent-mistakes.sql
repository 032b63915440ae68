-- Question: Which class do students take for which?
-- Returns: The ten most frequent mistakes of all students on clean test images, with the share of
-- all answers to that class.
-- Change: role to 'teacher'.
WITH said AS (
    SELECT
        confusion.label,
        confusion.predicted,
        sum(confusion.images)::BIGINT AS images
    FROM confusion
    INNER JOIN model ON confusion.model_id = model.model_id
    WHERE model.role = 'student' AND confusion.predicted IS NOT NULL
    GROUP BY confusion.label, confusion.predicted
),

shares AS (
    SELECT
        *,
        images / sum(images) OVER (PARTITION BY label) AS share_of_class
    FROM said
)

SELECT
    label,
    predicted,
    images,
    share_of_class
FROM shares
WHERE label != predicted
ORDER BY images DESC, label ASC, predicted ASC
LIMIT 10;
