"""The statements that make a database of one seed block, in which kept tables are made.

It has the store's own views, as far as kept tables are made of them. Those that several others
read, or that are long to plan, are tables here: for a small block planning is nearly all the work.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from store.frame import Frame
from store.kept import AGAIN, KEPT
from store.schema import MACROS, VIEWS, literal, macro_text, table_statements, view_text

_OF_IMAGES: Final = "test_half"
"""The view of images alone, which are the same for every block."""

_MADE_ONCE: Final = (
    "student_teacher",
    "image_answer",
    "student_answer",
    "model_measures_by_half",
    "pair_measures_by_half",
    "level_measures",
    "published_measures",
)
_VIEWS: Final = (
    "prediction",
    "attention",
    "ensemble_prediction",
    *(frame.name + AGAIN for frame in KEPT),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement. always: whether it is for every block, or the first one alone."""

    statement: str
    always: bool


def scratch_tables(frames: Iterable[Frame]) -> list[str]:
    """Return the statements that make empty tables, without comments.

    Tables of these names that are there already are thrown away.
    """
    return [_replacing(table_statements(frame)[0]) for frame in frames]


def of_images(*, side: int) -> list[str]:
    """Return the statements that make what no block changes, when STUDY and IMAGE are filled.

    side: of the attention maps, in cells.
    """
    return [*(macro_text(name, side) for name in MACROS), _as_table(_OF_IMAGES)]


def of_block(*, method: str) -> list[Step]:
    """Return what is to be done, in this order, when a block's tables are filled.

    Then the views of KEPT can be asked. method: of attention, that the study's claims are tested
    on; overlaps by others are in no kept table.
    """
    overlaps = (
        "CREATE OR REPLACE VIEW attention_iou AS SELECT model_a, model_b, method, image_id, iou "
        f"FROM attention_iou_by_method({literal(method)})"
    )
    steps = {
        **{name: Step(_replacing(view_text(name)), always=False) for name in _VIEWS},
        **{name: Step(_as_table(name), always=True) for name in _MADE_ONCE},
        "attention_iou": Step(overlaps, always=False),
    }
    return [steps[name] for name in VIEWS if name in steps]


def _as_table(view: str) -> str:
    return _replacing(view_text(view).replace("CREATE VIEW", "CREATE TABLE", 1))


def _replacing(statement: str) -> str:
    return re.sub(r"^CREATE (TABLE|VIEW)", r"CREATE OR REPLACE \1", statement, flags=re.MULTILINE)
