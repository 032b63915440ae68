-- Which test images a half holds; 'all' holds every one.
-- Grain: (image_id, half), half one of all, a, b. Never NULL.
CREATE VIEW test_half AS
SELECT
    image_id,
    label,
    unnest(['all', half]) AS half
FROM image
WHERE split = 'test';
