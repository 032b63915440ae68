"""What the networks look at: test images with the attention of teachers and student over them.

Images are chosen by a rule that the page states, never by hand.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from reports.conditions import ensemble_words
from reports.names import ATTENTION_MAPS
from reports.numbers import Number, fixed
from reports.queries import (
    CLASS_NAMES,
    GALLERY_BLOCK,
    GALLERY_IMAGES,
    GALLERY_IOU,
    GALLERY_MAPS,
    GALLERY_MODELS,
    Store,
)
from reports.sources import overlap_sql
from reports.tables import data_uri
from store.design import Design

TEACHER_COLOUR: Final = (24, 138, 141)
STUDENT_COLOUR: Final = (214, 110, 36)
"""Middle tones: both stand out on white and on near-black, and differ in lightness for those
who do not tell them apart by hue; the caption names them too."""

_SIDE: Final = 112
_VEIL: Final = 0.62


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, as a data URI, with its words."""

    uri: str
    side: int
    alternative: str
    caption: str


@dataclass(frozen=True, slots=True)
class Row:
    """One test image: as shown, as each model attends to it, and the teachers' overlap."""

    chosen_as: str
    label: str
    pictures: tuple[Picture, ...]
    iou: Number | str


@dataclass(frozen=True, slots=True)
class Panel:
    """The chosen images of one ensemble, named in ``teachers``.

    sql, csv: of the first two teachers' overlap, on every image and on those chosen.
    """

    teachers: str
    rows: tuple[Row, ...]
    anchor: str
    sql: str
    csv: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Panels from the weakest to the strongest augmentation.

    Where ensembles may be mixed, the first such one of the arm that decides stands between.
    method: which map is drawn, in words. absent: why there are no panels.
    """

    panels: tuple[Panel, ...]
    block: int | None
    method: str
    absent: str = ""


def make_gallery(store: Store, design: Design) -> Gallery:
    """Choose images by rule and draw what the networks attend to.

    The rule: the first seed block without failures; the images with the highest, the
    median and the lowest IoU of the first two teachers at the strongest augmentation.
    """
    method, shown = str(design.attention.primary), ATTENTION_MAPS[design.attention.primary]
    block = store.frame(GALLERY_BLOCK.sql)["block"][0]
    if block is None:
        return Gallery((), None, shown, "No seed block is without failures.")
    if design.deciding_ensemble < 2:
        return Gallery((), block, shown, "An ensemble of one teacher has no two to compare.")
    students = store.frame(GALLERY_MODELS.sql, (block,))
    ends = _ends(students.filter(pl.col("arm") == design.design.main_arm), design)
    overlap = {student["model_id"]: _overlap(store, student, method) for student in ends}
    ranked = overlap[ends[-1]["model_id"]]
    if ranked.is_empty():
        return Gallery((), block, shown, "No test image has a mask of both teachers.")
    chosen = _choose(ranked)
    panels = tuple(
        _panel(store, design, student, overlap[student["model_id"]], chosen) for student in ends
    )
    return Gallery(panels, block, shown)


def _ends(students: pl.DataFrame, design: Design) -> list[dict[str, object]]:
    """Choose the weakest, the first whose T1 and T2 differ, and the strongest, each once."""
    plan = design.plan()
    mixed = {s.condition_id for s in plan.students if len(set(plan.strengths_of(s)[:2])) > 1}
    between = students.filter(pl.col("condition_id").is_in(mixed)).sort("condition_id").head(1)
    chosen = [students.row(0, named=True), *between.rows(named=True), students.row(-1, named=True)]
    return list({str(student["model_id"]): student for student in chosen}.values())


def _overlap(store: Store, student: Mapping[str, object], method: str) -> pl.DataFrame:
    teachers = student["teacher_ids"]
    assert isinstance(teachers, list)
    return store.frame(GALLERY_IOU.sql, (teachers[0], teachers[1], method))


def _choose(ranked: pl.DataFrame) -> dict[int, str]:
    """Images by their rank in overlap; fewer where there are fewer images."""
    names = {
        0: "highest IoU",
        (ranked.height - 1) // 2: "median IoU",
        ranked.height - 1: "lowest IoU",
    }
    return {ranked["image_id"][place]: words for place, words in names.items()}


def _panel(
    store: Store,
    design: Design,
    student: Mapping[str, object],
    overlap: pl.DataFrame,
    chosen: Mapping[int, str],
) -> Panel:
    teachers = student["teacher_ids"]
    assert isinstance(teachers, list)
    models = [*teachers, student["model_id"]]
    names = [f"teacher {slot + 1}" for slot in range(len(teachers))] + ["student"]
    maps = store.frame(
        GALLERY_MAPS.sql,
        (str(design.attention.primary), models, list(chosen)),
    )
    images = store.frame(GALLERY_IMAGES.sql, (list(chosen),))
    classes = dict(store.frame(CLASS_NAMES.sql).iter_rows())
    rows: list[Row] = []
    for image_id, words in chosen.items():
        image = images.row(by_predicate=pl.col("image_id") == image_id, named=True)
        seen = [
            _attention_picture(image, maps, int(str(model)), name, classes, design)
            for model, name in zip(models, names, strict=True)
        ]
        label = f"{image['class_name']}"
        plain = _picture(_pixels(image["png"]), f"Test image of class {label}", "test image")
        rows.append(Row(words, label, (plain, *seen), _iou(overlap, image_id, student)))
    composition = {
        s.condition_id: plan.strengths_of(s) for plan in [design.plan()] for s in plan.students
    }
    first, second = sorted(int(str(model)) for model in teachers[:2])
    shown = overlap.filter(pl.col("image_id").is_in(list(chosen)))
    return Panel(
        ensemble_words(composition[int(str(student["condition_id"]))], design),
        tuple(rows),
        anchor=f"gallery-{student['model_id']}",
        sql=overlap_sql(first, second, str(design.attention.primary)),
        csv=data_uri(shown.write_csv()),
    )


def _iou(overlap: pl.DataFrame, image_id: int, student: Mapping[str, object]) -> Number | str:
    found = overlap.with_row_index().filter(pl.col("image_id") == image_id)
    if found.is_empty():
        return "undefined"
    value = found["iou"][0]
    teachers = student["teacher_ids"]
    assert isinstance(teachers, list)
    query = f"sql:gallery_iou({teachers[0]},{teachers[1]})"
    return Number(value, f"{query}[{found['index'][0]}].iou", fixed(value, 2))


def _attention_picture(
    image: Mapping[str, object],
    maps: pl.DataFrame,
    model: int,
    name: str,
    classes: Mapping[int, str],
    design: Design,
) -> Picture:
    row = maps.filter((pl.col("model_id") == model) & (pl.col("image_id") == image["image_id"]))
    png = image["png"]
    assert isinstance(png, bytes)
    pixels = _pixels(png)
    if row.is_empty() or row["map"][0] is None:
        return _picture(pixels, f"{name}: attention undefined", f"{name}: no map")
    grid = np.asarray(row["map"][0], dtype=np.uint8).reshape(design.grid, design.grid)
    colour = STUDENT_COLOUR if name == "student" else TEACHER_COLOUR
    drawn = overlay(pixels, grid, tau=design.attention.tau, colour=colour)
    said = row["predicted"][0]
    answer = "no answer" if said is None else f"says {classes.get(said, said)}"
    right = "" if said is None else (", right" if said == image["label"] else ", wrong")
    return _picture(drawn, f"{name}: {answer}{right}; what it attends to", f"{name}: {answer}")


def overlay(
    pixels: NDArray[np.uint8], grid: NDArray[np.uint8], *, tau: float, colour: Sequence[int]
) -> NDArray[np.uint8]:
    """Lay an attention map over an image, with the outline of its mask (map > 255 tau).

    pixels: (side, side, 3). grid: (cells, cells). Returns (side', side', 3), enlarged
    without smoothing.
    """
    side = grid.shape[0] * max(1, _SIDE // grid.shape[0])
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
    cell = side // grid.shape[0]
    share = np.kron(grid / 255, np.ones((cell, cell)))[..., None] * _VEIL
    mixed = np.asarray(image) * (1 - share) + np.asarray(colour, dtype=np.float64) * share
    mixed[_outline(grid > 255 * tau, cell)] = colour
    return mixed.round().astype(np.uint8)


def _outline(mask: NDArray[np.bool_], cell: int) -> NDArray[np.bool_]:
    """Mark two pixels inside every edge between a cell that is on and one that is not."""
    on = np.kron(mask, np.ones((cell, cell), dtype=bool))
    inner = np.pad(on, 2)
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            inner &= np.roll(np.pad(on, 2), step, axis)
    return on & ~inner[2:-2, 2:-2]


def _pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _picture(pixels: NDArray[np.uint8], alternative: str, caption: str) -> Picture:
    buffer = io.BytesIO()
    # few colours are enough for tints of one image, and keep the page small
    Image.fromarray(pixels).quantize(64).save(buffer, format="PNG", optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/png;base64,{code}", pixels.shape[0], alternative, caption)
