-- Question: On how many images is a measure undefined, and why?
-- Returns: One row per measure and reason: models or pairs concerned, images in all, and the most
-- that one of them has.
SELECT
    measure,
    reason,
    count(*) AS concerned,
    sum(images)::BIGINT AS images,
    max(images) AS most
FROM undefined_counts
GROUP BY measure, reason
ORDER BY measure, reason;
