-- Overlap of two models' attention per true class: the mean of attention_iou over its images.
-- Grain: (model_a, model_b, method, label), for every pair of model_pair. attention_iou in [0, 1];
-- images are those where it is defined, of of_images clean test images of the class.
-- attention_iou is NULL when it is undefined on every image of the class; a pair is absent where
-- a model failed.
CREATE VIEW attention_iou_by_class AS
SELECT
    overlap.model_a,
    overlap.model_b,
    overlap.method,
    image.label,
    avg(overlap.iou) AS attention_iou,
    count(overlap.iou) AS images,
    count(*) AS of_images
FROM attention_iou AS overlap
INNER JOIN image ON overlap.image_id = image.image_id
GROUP BY overlap.model_a, overlap.model_b, overlap.method, image.label;
