"""Analyze a study: ``python -m analyze.job STUDY.yaml --store ... --ledger ... --out ...``.

Estimates and findings go into the store, then ``results.json`` is written, last. Measures of
blocks that were analyzed before are remembered in the folder ``measured`` beside it.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from store.importing import importing

with importing():
    import polars as pl

    from analyze.answers import stream
    from analyze.assemble import assemble
    from analyze.decide import MINIMUM_SEEDS
    from analyze.metrics.answers import HALVES
    from analyze.metrics.attention_variants import attention_variants
    from analyze.metrics.estimates import estimates
    from analyze.metrics.image_draws import (
        DRAWN_MEASURES,
        Drawing,
        ImageDraws,
        block_draws,
        draw_images,
        drawn_schema,
        draws_affordable,
    )
    from analyze.metrics.label_variants import label_variants
    from analyze.questions import questions_of
    from analyze.records import evidence_frame, finding_frame, specification_frame
    from analyze.remembered import ByBlock, Measured
    from analyze.replicates import Stored
    from analyze.serialize import save_results
    from analyze.specifications import thresholds_of
    from store.builder import record_analysis, record_estimates
    from store.database import Reader, open_reader
    from store.design import Design
    from store.errors import STOPPING, AnalysisError, explained
    from store.study_file import load_design
    from store.vocabulary import CLEAN_VIEW, Half

_log = logging.getLogger(__name__)

_ANSWERS: Final = 1_000_000
"""Answers of students to images that are read at once, with their teachers' maps."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyze one study; return the exit status.

    Progress goes to the log file, or to standard error where none is named; an error to both.
    """
    chosen = _parser().parse_args(arguments)
    try:
        _start_log(chosen.log)
    except OSError as error:
        sys.stderr.write(f"error: {explained(error)}\n")
        return 2
    try:
        analyze(chosen.study, store=chosen.store, ledger=chosen.ledger, out=chosen.out)
    except STOPPING as error:
        if chosen.log:
            _log.error("error: %s", explained(error))
        sys.stderr.write(f"error: {explained(error)}\n")
        return 2
    return 0


def _start_log(log: Path | None) -> None:
    if log is None:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(message)s")


def analyze(study: Path, *, store: Path, ledger: Path, out: Path) -> None:
    """Estimate what SQL cannot, test the claims, write the results.

    ledger: what the store's build wrote last. Raises UserError where the study file or the
    store is missing or wrong.
    """
    design = load_design(study)
    if not ledger.is_file():
        raise AnalysisError(f"{ledger}: no such ledger; build the store first")
    with open_reader(store) as reader:
        classes = _check(reader, design, store)
        measured = Measured(out.parent / "measured", reader, design)
        estimated = pl.concat(_estimates(reader, design, measured.estimates, classes=classes))
    record_estimates(store, estimated)
    _log.info("reading measures")
    with open_reader(store) as reader:
        stored = stored_of(reader, design, measured, classes=classes)
    measured.keep()
    _log.info("testing claims")
    results = assemble(design, stored)
    record_analysis(
        store,
        evidence=evidence_frame(results),
        findings=finding_frame(results),
        specifications=specification_frame(results),
    )
    save_results(out, results)
    _log.info("wrote %s", out)


def _check(reader: Reader, design: Design, store: Path) -> int:
    """Refuse a store that was made for another study; return its number of classes."""
    made = reader.frame("SELECT study, attention_method, tau, classes FROM study").row(
        0, named=True
    )
    declared = {
        "study": design.study,
        "attention_method": str(design.attention.primary),
        "tau": design.attention.tau,
    }
    for name, expected in declared.items():
        if made[name] != expected:
            raise AnalysisError(
                f"{store} was made with {name} {made[name]}; the study file says {expected}. "
                "Build the store again with snakemake."
            )
    return int(made["classes"])


def _always_made(block: int, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    return make()


def _estimates(
    reader: Reader, design: Design, remembered: ByBlock, *, classes: int
) -> Iterator[pl.DataFrame]:
    """Estimate block by block: attention maps of all blocks need not fit into memory."""
    images = reader.frame("SELECT image_id, half FROM image WHERE split = 'test'")
    models = reader.frame("SELECT * FROM model ORDER BY model_id")
    pairs = reader.frame("SELECT * FROM model_pair ORDER BY model_a, model_b")
    contingency = reader.frame("SELECT * FROM contingency")
    blocks = models["block"].unique().sort().to_list()

    def of_block(block: int, done: int) -> pl.DataFrame:
        _log.info("estimating measures of block %d (%d of %d)", block, done, len(blocks))
        members = models.filter(pl.col("block") == block)
        ids = members["model_id"].implode()
        return estimates(
            contingency.filter(pl.col("student_id").is_in(ids)),
            _attention(reader, design, members),
            members,
            pairs.filter(pl.col("model_a").is_in(ids)),
            images,
            classes=classes,
        )

    for done, block in enumerate(blocks, start=1):
        yield remembered(block, partial(of_block, block, done))


def _attention(reader: Reader, design: Design, members: pl.DataFrame) -> pl.DataFrame:
    return reader.frame(
        "SELECT * FROM attention "
        "WHERE view = ? AND method = ? AND model_id BETWEEN ? AND ? "
        "AND model_id IN (SELECT unnest(?::INTEGER[])) ORDER BY model_id, image_id",
        [
            CLEAN_VIEW,
            str(design.attention.primary),
            members["model_id"].min(),
            members["model_id"].max(),
            members["model_id"].to_list(),
        ],
    )


def stored_of(
    reader: Reader, design: Design, measured: Measured | None = None, *, classes: int
) -> Stored:
    """Read one row per student, what explains those rows, and what they would be otherwise.

    Otherwise: on other test images, and under choices that the study file leaves open. measured:
    what is remembered of a block's.
    """
    stored = _stored(reader, classes=classes)
    variants = measured.variants if measured else _always_made
    return replace(
        stored,
        image_draws=_image_draws(reader, design, stored, measured),
        variants=pl.concat(_variants(reader, design, variants, classes=classes)),
    )


def _variants(
    reader: Reader, design: Design, remembered: ByBlock = _always_made, *, classes: int
) -> Iterator[pl.DataFrame]:
    """Measure block by block under the choices that the study file leaves open."""
    images = reader.frame("SELECT image_id, label, half FROM image WHERE split = 'test'")
    models = reader.frame("SELECT * FROM model ORDER BY model_id")
    pairs = reader.frame("SELECT * FROM model_pair ORDER BY model_a, model_b")
    blocks = models["block"].unique().sort().to_list()

    def of_block(block: int, done: int) -> pl.DataFrame:
        _log.info("measuring block %d in other ways (%d of %d)", block, done, len(blocks))
        members = models.filter(pl.col("block") == block)
        of_attention = attention_variants(
            reader.frame(
                "SELECT model_id, image_id, method, map FROM attention "
                "WHERE view = ? AND model_id BETWEEN ? AND ? AND model_id IN "
                "(SELECT teacher_id FROM student_teacher) ORDER BY model_id, image_id",
                _clean(members),
            ),
            members,
            pairs.filter(pl.col("model_a").is_in(members["model_id"].implode())),
            images,
            thresholds=thresholds_of(design.attention),
        )
        of_labels = label_variants(
            reader.frame(
                "SELECT model_id, image_id, logits FROM prediction "
                "WHERE view = ? AND model_id BETWEEN ? AND ? AND image_id IN "
                "(SELECT image_id FROM image WHERE split = 'test') ORDER BY model_id, image_id",
                _clean(members),
            ),
            members,
            images,
            classes=classes,
        )
        return pl.concat([of_attention, of_labels])

    for done, block in enumerate(blocks, start=1):
        yield remembered(block, partial(of_block, block, done))


def _clean(members: pl.DataFrame) -> list[object]:
    """Return the clean view, and the first and last model of one block."""
    return [CLEAN_VIEW, members["model_id"].min(), members["model_id"].max()]


def _stored(reader: Reader, *, classes: int) -> Stored:
    """Read one row per student, and what explains those rows."""
    images = reader.frame("SELECT count(*) AS images FROM image WHERE split = 'test'")
    return Stored(
        students=reader.frame("SELECT * FROM measures ORDER BY student_id"),
        halves=reader.frame("SELECT * FROM measures_by_half ORDER BY student_id, half"),
        models=reader.frame("SELECT * FROM model ORDER BY model_id"),
        estimates=reader.frame("SELECT * FROM estimate ORDER BY student_id, half, measure"),
        contingency=reader.frame("SELECT * FROM contingency WHERE half = 'all' ORDER BY ALL"),
        images=int(images["images"].item()),
        classes=classes,
        history=reader.frame("SELECT * FROM finding_history ORDER BY ALL"),
    )


def _image_draws(
    reader: Reader, design: Design, stored: Stored, measured: Measured | None
) -> ImageDraws | None:
    """Take what the deciding claims need on resampled test images; None below 3 seeds."""
    asked = [question for question in questions_of(design) if question.deciding]
    named = {name for each in asked for part in each.parts for name in part.measures}
    measures = sorted(named & DRAWN_MEASURES)
    students = stored.students.filter(pl.col("arm").is_in([str(each.arm) for each in asked])).join(
        stored.models.select(student_id="model_id", teacher_ids="teacher_ids"), on="student_id"
    )
    if not measures or students["block"].n_unique() < MINIMUM_SEEDS:
        return None
    images = reader.frame("SELECT image_id, half, label FROM image WHERE split = 'test'")
    rows = students.height * len(HALVES) * len(measures)
    drawing = draw_images(
        images,
        draws=draws_affordable(images=images.height, rows=rows),
        rng=stream(design.study_seed, "test images"),
    )
    memory = None
    if measured is not None:
        schema = drawn_schema(len(drawing.excess))
        memory = measured.image_draws(
            schema,
            study_seed=design.study_seed,
            arms=sorted({str(each.arm) for each in asked}),
            measures=measures,
        )
    blocks = students["block"].unique().sort().to_list()
    new = [block for block in blocks if memory is None or not memory.has(block)]
    left = students.filter(pl.col("block").is_in(new))
    made = dict(zip(new, _drawn_blocks(reader, design, left, drawing, measures), strict=True))
    rows = [
        memory.rows(block, partial(made.__getitem__, block)) if memory else made[block]
        for block in blocks
    ]
    return ImageDraws(rows=pl.concat(rows), images=images.height)


def _drawn_blocks(
    reader: Reader,
    design: Design,
    students: pl.DataFrame,
    drawing: Drawing,
    measures: Sequence[str],
) -> Iterator[pl.DataFrame]:
    """Draw block by block, in ascending order.

    Answers and attention of some blocks are read at once: neither need fit into memory.
    """
    blocks = students["block"].unique().sort()
    a_block = drawing.images.count(Half.ALL) * students.height // max(len(blocks), 1)
    step = max(1, _ANSWERS // max(a_block, 1))
    for start in range(0, len(blocks), step):
        some = blocks[start : start + step]
        _log.info("resampling test images of blocks %d to %d", some.min(), some.max())
        several = students.filter(pl.col("block").is_in(some.implode()))
        answers = reader.frame(
            "SELECT student_id, image_id, ensemble_class, student_class FROM student_answer "
            "WHERE view = ? AND student_id BETWEEN ? AND ?",
            [CLEAN_VIEW, several["student_id"].min(), several["student_id"].max()],
        )
        taught_by = pl.DataFrame({"model_id": several["teacher_ids"].explode().unique()})
        attention = _attention(reader, design, taught_by)
        for members in several.partition_by("block"):
            teachers = members["teacher_ids"].explode().unique()
            yield block_draws(
                members,
                answers.filter(pl.col("student_id").is_in(members["student_id"].implode())),
                attention.filter(pl.col("model_id").is_in(teachers.implode())),
                drawing,
                measures=measures,
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analyze.job",
        description="Test a study's claims on its stored replicates; write results.json.",
        epilog="example: python -m analyze.job config/digits.yaml --store "
        "results/digits/store.duckdb --ledger results/digits/ledger.json --out "
        "results/digits/results.json",
    )
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--store", type=Path, required=True, help="the study's store.duckdb")
    parser.add_argument("--ledger", type=Path, required=True, help="ledger.json of the store")
    parser.add_argument("--out", type=Path, required=True, help="results.json to write")
    parser.add_argument("--log", type=Path, help="file that the log goes to")
    return parser


if __name__ == "__main__":
    sys.exit(main())
