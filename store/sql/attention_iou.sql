-- Overlap of two models' attention on one clean test image: |A and B| / |A or B|.
-- Grain: (model_a, model_b, method, image_id), for every pair of model_pair. iou in [0, 1].
-- NULL when neither attends anywhere (0/0 is undefined, not zero) or a map is undefined.
CREATE VIEW attention_iou AS
-- method by method: a name in a join's key costs half as much again, and a query of one method
-- reads that one alone
SELECT
    model_a,
    model_b,
    method,
    image_id,
    iou
FROM attention_iou_by_method('cam_label')
UNION ALL
SELECT
    model_a,
    model_b,
    method,
    image_id,
    iou
FROM attention_iou_by_method('cam_predicted')
UNION ALL
SELECT
    model_a,
    model_b,
    method,
    image_id,
    iou
FROM attention_iou_by_method('cam_sum')
UNION ALL
SELECT
    model_a,
    model_b,
    method,
    image_id,
    iou
FROM attention_iou_by_method('gradcam')
UNION ALL
SELECT
    model_a,
    model_b,
    method,
    image_id,
    iou
FROM attention_iou_by_method('rollout')
UNION ALL
SELECT
    model_a,
    model_b,
    method,
    image_id,
    iou
FROM attention_iou_by_method('class_token');
