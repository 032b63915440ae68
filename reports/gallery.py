"""What the networks look at: test images with the attention of teachers and student over them.

Images are chosen by rules that the page states, never by hand.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from reports.attached import data_uri
from reports.conditions import ensemble_text, ensemble_words
from reports.names import ATTENTION_MAPS
from reports.numbers import Number, fixed
from reports.queries import (
    CLASS_NAMES,
    GALLERY_BLOCK,
    GALLERY_CLASSES,
    GALLERY_IMAGES,
    GALLERY_IOU,
    GALLERY_IOU_AT,
    GALLERY_MAPS,
    GALLERY_MEAN,
    GALLERY_MODELS,
    Query,
    Store,
)
from reports.sources import bound_sql, overlaps_at_sql
from store.design import Design

TEACHER_COLOUR: Final = (24, 138, 141)
STUDENT_COLOUR: Final = (214, 110, 36)
"""Middle tones: both stand out on white and on near-black, and differ in lightness for those
who do not tell them apart by hue; the caption names them too."""

THRESHOLDS: Final = tuple(tenth / 10 for tenth in range(1, 10))
"""Where masks are cut beside the declared threshold, as fractions of a map's range."""

MOST_CLASSES: Final = 20
"""Above this many classes, half as many that agree most and half as many that agree least."""

QUERIES: Final = (GALLERY_BLOCK, GALLERY_IOU, GALLERY_IOU_AT, GALLERY_CLASSES, GALLERY_MEAN)

_SIDE: Final = 112
_VEIL: Final = 0.62
_COLOURS: Final = 64


@dataclass(frozen=True, slots=True)
class Photo:
    """A test image as shown, once in the page. name: of its element."""

    name: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One network's attention on one image, drawn over it.

    heat: picture of the map, empty where it is undefined; edge: SVG path around the mask; cells:
    the map's values in 0..255, row by row, in base64, from which other masks are cut.
    """

    photo: str
    role: str
    side: int
    heat: str
    edge: str
    cells: str
    alternative: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """IoU of the first two teachers' masks at one threshold. shown: at the declared one."""

    tau: str
    value: Number | str
    shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The networks of one condition on one image. mean: of their overlap on all images."""

    title: str
    words: str
    looks: tuple[Look, ...]
    overlaps: tuple[Overlap, ...]
    mean: Number | str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One image under every condition of the deciding arm, in order of strength."""

    anchor: str
    chosen_as: str
    label: str
    photo: str
    conditions: tuple[Looks, ...]
    sql: str
    csv: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLooks:
    """One class at the strongest augmentation: its mean overlap, its most and least alike image."""

    label: str
    mean: Number
    images: int
    rows: tuple[tuple[str, str, Looks], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByClass:
    """Classes from the most to the least alike. classes: how many the study has."""

    teachers: str
    rows: tuple[ClassLooks, ...]
    classes: int
    sql: str
    csv: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Chosen images across the design, then by class; each photo once.

    method: which map is drawn, in words. taus: thresholds to choose from, tau the declared one.
    absent: why there are no pictures.
    """

    method: str
    tau: str
    taus: tuple[str, ...] = ()
    block: int | None = None
    side: int = 0
    photos: tuple[Photo, ...] = ()
    panels: tuple[Panel, ...] = ()
    by_class: ByClass | None = None
    absent: str = ""


@dataclass(frozen=True, slots=True)
class _Condition:
    """A student of the block with its teachers. pair: the first two, the lower number first."""

    title: str
    words: str
    models: tuple[int, ...]

    @property
    def pair(self) -> tuple[int, int]:
        first, second = sorted(self.models[:2])
        return first, second

    @property
    def names(self) -> tuple[str, ...]:
        slots = range(1, len(self.models))
        return (*(f"teacher {slot}" for slot in slots), "student")


def make_gallery(store: Store, design: Design) -> Gallery:
    """Choose images by rule and draw what the networks attend to.

    The rules: the first seed block without failures; the images with the highest, the median and
    the lowest IoU of the first two teachers at the strongest augmentation, under every condition;
    and of each class the images with its highest and its lowest IoU there.
    """
    shown, tau = ATTENTION_MAPS[design.attention.primary], f"{design.attention.tau:g}"
    block = store.frame(GALLERY_BLOCK.sql)["block"][0]

    def without(words: str) -> Gallery:
        return Gallery(method=shown, tau=tau, block=block, absent=words)

    if block is None:
        return without("No seed block is without failures.")
    if design.deciding_ensemble < 2:
        return without("An ensemble of one teacher has no two to compare.")
    conditions = _conditions(store, design, block)
    if not conditions:
        return without("No student of the arm that decides is in the store.")
    method = str(design.attention.primary)
    ranked = store.frame(GALLERY_IOU.sql, (*conditions[-1].pair, method))
    if ranked.is_empty():
        return without("No test image has a mask of both teachers.")
    chosen = _choose(ranked)
    classes = store.frame(GALLERY_CLASSES.sql, (*conditions[-1].pair, method))
    listed = _listed(classes)
    images = list(dict.fromkeys([*chosen, *chain(*listed.select("most", "least").iter_rows())]))
    drawer = _Drawer(store, design, conditions, images)
    if not drawer.pictured:
        return without("The store holds no pictures of the test images.")
    return Gallery(
        method=shown,
        tau=tau,
        taus=tuple(f"{each:g}" for each in drawer.taus),
        block=block,
        side=design.grid,
        photos=tuple(drawer.photo(image) for image in images),
        panels=tuple(drawer.panel(image, words) for image, words in chosen.items()),
        by_class=drawer.by_class(listed, classes),
    )


def _conditions(store: Store, design: Design, block: int) -> list[_Condition]:
    """Return the deciding arm's conditions with as many teachers as decide, by strength."""
    plan = design.plan()
    strengths = {student.condition_id: plan.strengths_of(student) for student in plan.students}
    students = store.frame(GALLERY_MODELS.sql, (block,)).filter(
        (pl.col("arm") == design.design.main_arm)
        & (pl.col("teacher_ids").list.len() == design.deciding_ensemble)
    )
    return [
        _Condition(
            ensemble_text(strengths[student["condition_id"]], design),
            ensemble_words(strengths[student["condition_id"]], design),
            (*student["teacher_ids"], student["model_id"]),
        )
        for student in students.iter_rows(named=True)
    ]


def _choose(ranked: pl.DataFrame) -> dict[int, str]:
    """Images by their rank in overlap; fewer where there are fewer images."""
    names = {
        0: "highest IoU",
        (ranked.height - 1) // 2: "median IoU",
        ranked.height - 1: "lowest IoU",
    }
    return {ranked["image_id"][place]: words for place, words in names.items()}


def _listed(classes: pl.DataFrame) -> pl.DataFrame:
    if classes.height <= MOST_CLASSES:
        return classes
    half = MOST_CLASSES // 2
    return pl.concat([classes.head(half), classes.tail(half)])


class _Drawer:
    """What is drawn over the chosen images, read from the store at once."""

    def __init__(
        self, store: Store, design: Design, conditions: Sequence[_Condition], images: list[int]
    ) -> None:
        self._store, self._design, self._conditions = store, design, conditions
        self._method = str(design.attention.primary)
        self.taus = sorted({*THRESHOLDS, design.attention.tau})
        models = sorted({model for condition in conditions for model in condition.models})
        maps = store.frame(GALLERY_MAPS.sql, (self._method, models, images))
        self._maps = {(r["model_id"], r["image_id"]): r for r in maps.iter_rows(named=True)}
        found = store.frame(GALLERY_IMAGES.sql, (images,))
        self._images = {row["image_id"]: row for row in found.iter_rows(named=True)}
        self._classes = dict(store.frame(CLASS_NAMES.sql).iter_rows())
        self._overlaps = {
            condition.pair: store.frame(
                GALLERY_IOU_AT.sql, (self.taus, *condition.pair, self._method, images)
            )
            for condition in conditions
        }
        self._means = {
            condition.pair: store.frame(GALLERY_MEAN.sql, (*condition.pair, self._method))
            for condition in conditions
        }

    @property
    def pictured(self) -> bool:
        """Whether every image has a picture; those of other software may have none."""
        return all(row["png"] for row in self._images.values())

    def photo(self, image: int) -> Photo:
        """Return a test image, no larger than it is shown."""
        picture = Image.open(io.BytesIO(self._images[image]["png"])).convert("RGB")
        if max(picture.size) > _SIDE:
            picture = picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        # few colours are enough below tints, and keep the page small
        return Photo(_name(image), _png_uri(picture.quantize(_COLOURS)))

    def panel(self, image: int, words: str) -> Panel:
        """Return one image under every condition."""
        pairs = [condition.pair for condition in self._conditions]
        table = pl.concat(
            [
                self._overlaps[condition.pair]
                .filter(pl.col("image_id") == image)
                .select(pl.lit(condition.title).alias("teachers"), "image_id", "tau", "iou")
                for condition in self._conditions
            ]
        )
        return Panel(
            anchor=f"gallery-{words.partition(' ')[0]}",
            chosen_as=words,
            label=self._images[image]["class_name"],
            photo=_name(image),
            conditions=tuple(
                self._looks(image, condition, mean=self._mean(condition))
                for condition in self._conditions
            ),
            sql=overlaps_at_sql(pairs, image, self.taus, self._method),
            csv=data_uri(table.write_csv()),
        )

    def by_class(self, listed: pl.DataFrame, classes: pl.DataFrame) -> ByClass:
        """Return the listed classes under the last condition."""
        condition = self._conditions[-1]
        parameters = (*condition.pair, self._method)
        places = {label: place for place, label in enumerate(classes["label"])}
        return ByClass(
            teachers=condition.words,
            rows=tuple(
                ClassLooks(
                    label=row["class_name"],
                    mean=_number(GALLERY_CLASSES, condition, row["iou"], places[row["label"]]),
                    images=row["images"],
                    rows=tuple(
                        (words, _name(row[column]), self._looks(row[column], condition))
                        for words, column in (("most alike", "most"), ("least alike", "least"))
                    ),
                )
                for row in listed.iter_rows(named=True)
            ),
            classes=classes.height,
            sql=bound_sql(GALLERY_CLASSES.sql, parameters),
            csv=data_uri(classes.write_csv()),
        )

    def _looks(self, image: int, condition: _Condition, mean: Number | str = "") -> Looks:
        drawn = zip(condition.models, condition.names, strict=True)
        return Looks(
            title=condition.title,
            words=condition.words,
            looks=tuple(self._look(image, model, name) for model, name in drawn),
            overlaps=tuple(self._overlap(image, condition, tau) for tau in self.taus),
            mean=mean,
        )

    def _look(self, image: int, model: int, name: str) -> Look:
        row = self._maps.get((model, image))
        side = self._design.grid
        if row is None or row["map"] is None:
            grid = None
            alternative, caption = f"{name}: attention undefined", f"{name}: no map"
        else:
            grid = np.asarray(row["map"], dtype=np.uint8).reshape(side, side)
            alternative, caption = self._said(row["predicted"], image, name)
        student = name == "student"
        return Look(
            photo=_name(image),
            role="student" if student else "teacher",
            side=side,
            heat="" if grid is None else heat(grid, STUDENT_COLOUR if student else TEACHER_COLOUR),
            edge="" if grid is None else outline(grid > 255 * self._design.attention.tau),
            cells="" if grid is None else base64.b64encode(grid.tobytes()).decode(),
            alternative=alternative,
            caption=caption,
        )

    def _said(self, said: int | None, image: int, name: str) -> tuple[str, str]:
        answer = "no answer" if said is None else f"says {self._classes.get(said, said)}"
        if said is None:
            return f"{name}: {answer}; what it attends to", f"{name}: {answer}"
        is_right = said == self._images[image]["label"]
        spoken = f"{name}: {answer}, {'right' if is_right else 'wrong'}; what it attends to"
        return spoken, f"{name}: {answer}{'' if is_right else ', wrong'}"

    def _overlap(self, image: int, condition: _Condition, tau: float) -> Overlap:
        found = self._overlaps[condition.pair].filter(
            (pl.col("image_id") == image) & (pl.col("tau") == tau)
        )
        value = None if found.is_empty() else found["iou"][0]
        first, second = condition.pair
        return Overlap(
            tau=f"{tau:g}",
            value="undefined"
            if value is None
            else Number(
                value, f"sql:{GALLERY_IOU_AT.name}({first},{second},{image},{tau})[0].iou",
                fixed(value, 2),
            ),
            shown=tau == self._design.attention.tau,
        )  # fmt: skip

    def _mean(self, condition: _Condition) -> Number | str:
        value = self._means[condition.pair]["iou"][0]
        return "undefined" if value is None else _number(GALLERY_MEAN, condition, value, 0)


def _number(query: Query, condition: _Condition, value: float, row: int) -> Number:
    first, second = condition.pair
    return Number(value, f"sql:{query.name}({first},{second})[{row}].iou", fixed(value, 2))


def _name(image: int) -> str:
    return f"photo-{image}"


def heat(grid: NDArray[np.uint8], colour: Sequence[int]) -> str:
    """Return a map as a picture of one colour, the denser the higher: a data URI.

    grid: (cells, cells), 0..255.
    """
    pixels = np.empty((*grid.shape, 4), dtype=np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = (grid * _VEIL).round()
    return _png_uri(Image.fromarray(pixels))


def outline(mask: NDArray[np.bool_]) -> str:
    """Return the SVG path around the cells of a mask, one unit a cell.

    mask: (cells, cells). Lines run along rows, then along columns, each as far as it goes.
    """
    return _runs(mask, "M{1} {0}h{2}") + _runs(mask.T, "M{0} {1}v{2}")


def _runs(mask: NDArray[np.bool_], words: str) -> str:
    """Write every straight border between rows of a mask."""
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0) != 0
    ends = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(ends == 1)
    _, stops = np.nonzero(ends == -1)
    return "".join(
        words.format(row, start, stop - start)
        for row, start, stop in zip(rows.tolist(), starts.tolist(), stops.tolist(), strict=True)
    )


def _png_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
