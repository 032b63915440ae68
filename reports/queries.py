"""What the page reads from the store: each query once, by name, shown in the page as it ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import polars as pl


class Store(Protocol):
    """What a store's reader offers to the page."""

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Run one query."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the name that numbers cite it by."""

    name: str
    sql: str


LEARNING_CURVES: Final = Query(
    "learning_curves",
    """\
SELECT
    model.role,
    COALESCE(model.arm, '') AS arm,
    COALESCE(model.teacher_strength, model.strength) AS strength,
    epoch.epoch,
    AVG(epoch.train_loss) AS train_loss,
    AVG(epoch.test_accuracy) AS test_accuracy,
    COUNT(DISTINCT model.block)::INTEGER AS seeds
FROM epoch
INNER JOIN model USING (model_id)
WHERE model.status = 'complete' AND epoch.test_accuracy IS NOT NULL
GROUP BY ALL
ORDER BY ALL""",
)

GALLERY_BLOCK: Final = Query(
    "gallery_block",
    """\
SELECT MIN(block)::INTEGER AS block
FROM (
    SELECT block
    FROM model
    GROUP BY block
    HAVING COUNT(*) FILTER (status <> 'complete') = 0
)""",
)

GALLERY_MODELS: Final = Query(
    "gallery_models",
    """\
SELECT
    model_id,
    condition_id,
    arm,
    strength,
    teacher_strength,
    teacher_ids
FROM model
WHERE block = ? AND role = 'student' AND teacher_strength IS NOT NULL
ORDER BY teacher_strength, arm, model_id""",
)

GALLERY_IOU: Final = Query(
    "gallery_iou",
    """\
-- |A and B| / |A or B| of the two teachers' attention masks on each clean test image;
-- NULL where neither attends anywhere.
SELECT
    image_id,
    (
        BIT_COUNT(a.mask_0 & b.mask_0)::INTEGER + BIT_COUNT(a.mask_1 & b.mask_1)::INTEGER
        + BIT_COUNT(a.mask_2 & b.mask_2)::INTEGER + BIT_COUNT(a.mask_3 & b.mask_3)::INTEGER
    ) / NULLIF(
        BIT_COUNT(a.mask_0 | b.mask_0)::INTEGER + BIT_COUNT(a.mask_1 | b.mask_1)::INTEGER
        + BIT_COUNT(a.mask_2 | b.mask_2)::INTEGER + BIT_COUNT(a.mask_3 | b.mask_3)::INTEGER, 0
    ) AS iou
FROM attention AS a
INNER JOIN attention AS b USING (image_id, view, method)
WHERE
    a.model_id = ? AND b.model_id = ?
    AND view = 'clean' AND method = ? AND iou IS NOT NULL
ORDER BY iou DESC, image_id""",
)

GALLERY_IOU_AT: Final = Query(
    "gallery_iou_at",
    """\
-- The same overlap with both masks cut at other thresholds, fractions of a map's range.
SELECT
    image_id,
    level.tau,
    attention_iou_of(mask_at(a.map, level.tau), mask_at(b.map, level.tau)) AS iou
FROM attention AS a
INNER JOIN attention AS b USING (image_id, view, method)
CROSS JOIN (SELECT UNNEST(?::DOUBLE[]) AS tau) AS level
WHERE
    a.model_id = ? AND b.model_id = ?
    AND view = 'clean' AND method = ? AND LIST_CONTAINS(?, image_id)
ORDER BY image_id, level.tau""",
)

GALLERY_CLASSES: Final = Query(
    "gallery_classes",
    """\
-- By class: the mean of the two teachers' overlap, and the images where it is highest and lowest.
SELECT
    image.label,
    ANY_VALUE(image.class_name) AS class_name,
    AVG(overlap.iou) AS iou,
    COUNT(overlap.iou)::INTEGER AS images,
    FIRST(image_id ORDER BY overlap.iou DESC, image_id) AS most,
    FIRST(image_id ORDER BY overlap.iou, image_id) AS least
FROM attention_iou AS overlap
INNER JOIN image USING (image_id)
WHERE
    overlap.model_a = ? AND overlap.model_b = ?
    AND overlap.method = ? AND overlap.iou IS NOT NULL
GROUP BY image.label
ORDER BY iou DESC, image.label""",
)

GALLERY_MEAN: Final = Query(
    "gallery_mean",
    """\
SELECT
    AVG(iou) AS iou,
    COUNT(iou)::INTEGER AS images
FROM attention_iou
WHERE model_a = ? AND model_b = ? AND method = ?""",
)

GALLERY_MAPS: Final = Query(
    "gallery_maps",
    """\
SELECT
    attention.model_id,
    attention.image_id,
    attention.map,
    prediction.predicted
FROM attention
INNER JOIN prediction USING (model_id, image_id, view)
WHERE
    view = 'clean' AND method = ?
    AND LIST_CONTAINS(?, model_id) AND LIST_CONTAINS(?, image_id)
ORDER BY model_id, image_id""",
)

GALLERY_IMAGES: Final = Query(
    "gallery_images",
    """\
SELECT
    image_id,
    label,
    class_name,
    png
FROM image
WHERE LIST_CONTAINS(?, image_id)
ORDER BY image_id""",
)

CLASS_NAMES: Final = Query(
    "class_names",
    "SELECT DISTINCT label, class_name FROM image ORDER BY label",
)

CONDITIONS: Final = Query(
    "conditions",
    """\
SELECT *
FROM condition
ORDER BY condition_id""",
)

FAILURES: Final = Query(
    "failures",
    """\
SELECT
    model_id,
    block,
    role,
    COALESCE(arm, '') AS arm,
    strength,
    COALESCE(reason, '') AS reason
FROM model
WHERE status <> 'complete'
ORDER BY model_id
LIMIT 200""",
)

ANALYSES: Final = Query(
    "analyses",
    """\
WITH claim AS (
    SELECT
        analysis,
        MIN(analysed_at) AS analysed_at,
        study_hash,
        seeds,
        hypothesis,
        ANY_VALUE(verdict) AS verdict
    FROM finding_history
    WHERE deciding
    GROUP BY ALL
)

SELECT
    analysis,
    MIN(analysed_at) AS analysed_at,
    study_hash,
    seeds,
    LIST(hypothesis ORDER BY hypothesis) AS claims,
    LIST(verdict ORDER BY hypothesis) AS verdicts
FROM claim
GROUP BY analysis, study_hash, seeds
ORDER BY analysed_at NULLS FIRST, analysis
LIMIT 200""",
)

TIMES: Final = Query(
    "times",
    """\
SELECT
    MIN(finished_at) AS first_finished,
    MAX(finished_at) AS last_finished,
    SUM(train_seconds) AS train_seconds,
    COUNT(*)::INTEGER AS models,
    COUNT(DISTINCT block)::INTEGER AS blocks
FROM model""",
)
