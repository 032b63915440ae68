"""The statements that make a database of one seed block, in which kept tables are made.

It has the store's own views, as far as kept tables are made of them. Those that several others
read, or that are long to plan, are tables here: for a small block planning is nearly all the work.
"""

from collections.abc import Iterable
from typing import Final

from store.frames import Frame
from store.kept import AGAIN, KEPT
from store.schema import MACROS, TABLES, VIEWS, literal, macro_text, table_statements, view_text

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


def scratch_tables(frames: Iterable[Frame] = TABLES) -> list[str]:
    """Return the statements that make empty tables, without comments.

    Tables of these names that are there already are thrown away.
    """
    return [_replacing(table_statements(frame)[0]) for frame in frames]


def scratch_views(*, side: int, method: str) -> list[str]:
    """Return the statements that make macros and views, of ``made_once`` too, on those tables.

    They can be run when the images are there. side: of the attention maps, in cells. method: of
    attention, that the study's claims are tested on; overlaps by others are in no kept table.
    """
    overlaps = (
        "CREATE VIEW attention_iou AS SELECT model_a, model_b, method, image_id, iou "
        f"FROM attention_iou_by_method({literal(method)})"
    )
    made = {
        **{name: view_text(name) for name in _VIEWS},
        **{name: _as_table(name) for name in (_OF_IMAGES, *_MADE_ONCE)},
        "attention_iou": overlaps,
    }
    return [*(macro_text(name, side) for name in MACROS), *(made[v] for v in VIEWS if v in made)]


def made_once() -> list[str]:
    """Return the statements that fill what is a table here, in their order.

    To be run when the block's tables are filled.
    """
    return [_as_table(name) for name in _MADE_ONCE]


def _as_table(view: str) -> str:
    return _replacing(view_text(view).replace("CREATE VIEW", "CREATE TABLE", 1))


def _replacing(statement: str) -> str:
    return statement.replace("CREATE TABLE", "CREATE OR REPLACE TABLE", 1)
