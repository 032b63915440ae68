"""The tables: their columns' names, types, meanings, units, and whether they are volatile.

One declaration serves the shards (Parquet), the store (CREATE TABLE and COMMENT)
and the checks between them. ``volatile`` columns (times, hosts, processes) may differ
between two runs of the same seed; no other column may.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from store.frame import Column, Frame
from store.vocabulary import MASK_WORDS, AttentionMethod, PairKind, Role, Split, Status

ARM: Final = (
    "Students compared with each other: fixed | matched, or another name that the study declares; "
    "STUDENT_of_N are students of that level or strength, of ensembles of N teachers; control: "
    "students without teachers."
)
MEAN_STRENGTH: Final = "Augmentation strength of its teachers, their mean where they differ."


def _words(kind: type[Role | Split | Status | PairKind | AttentionMethod]) -> str:
    return " | ".join(str(word) for word in kind)


_MODEL_ID = Column(
    name="model_id", dtype=pl.Int32(), meaning="The model: block * 1000 + ordinal in its block."
)
_IMAGE_ID = Column(
    name="image_id", dtype=pl.Int32(), meaning="The image, unique over both splits of the dataset."
)
_VIEW = Column(
    name="view",
    dtype=pl.String(),
    meaning="What the model was shown: 'clean', or a level's seeded augmented view, "
    "the same for every model.",
)

IMAGE = Frame(
    "image",
    "one image of the study",
    (
        _IMAGE_ID,
        Column(name="split", dtype=pl.String(), meaning=_words(Split)),
        Column(name="label", dtype=pl.Int32(), meaning="Its class, from 0."),
        Column(name="class_name", dtype=pl.String(), meaning="Its class's name."),
        Column(
            name="half",
            dtype=pl.String(),
            meaning="Which half of the test images it is in, drawn from the study's seed: a | b.",
            null="a training image",
        ),
        Column(
            name="png",
            dtype=pl.Binary(),
            meaning="The image as the networks see it, before standardization, as PNG.",
            null="a training image",
        ),
    ),
    ("image_id",),
)

MODEL = Frame(
    "model",
    "one trained network",
    (
        _MODEL_ID,
        Column(name="block", dtype=pl.Int32(), meaning="The seed block, from 0: the replicate."),
        Column(name="ordinal", dtype=pl.Int32(), meaning="Its place in the block's plan."),
        Column(name="role", dtype=pl.String(), meaning=_words(Role)),
        Column(
            name="slot",
            dtype=pl.Int32(),
            meaning="Which teacher of its ensemble; teachers of one slot share their random "
            "streams over strengths.",
            null="a student",
        ),
        Column(
            name="condition_id",
            dtype=pl.Int32(),
            meaning="The student's cell of the design.",
            null="a teacher",
        ),
        Column(name="arm", dtype=pl.String(), meaning=ARM, null="a teacher"),
        Column(
            name="strength",
            dtype=pl.Float64(),
            meaning="Augmentation strength that it was trained with.",
            unit="fraction of the policy's maximum",
        ),
        Column(name="view", dtype=pl.String(), meaning="Name of the view of that strength."),
        Column(
            name="teacher_strength",
            dtype=pl.Float64(),
            meaning=MEAN_STRENGTH,
            unit="fraction of the policy's maximum",
            null="a teacher, or a student without teachers",
        ),
        Column(
            name="teacher_ids",
            dtype=pl.List(pl.Int32()),
            meaning="model_id of its teachers, in slot order; empty for a student without.",
            null="a teacher",
        ),
        Column(name="network", dtype=pl.String(), meaning="Architecture, as declared."),
        Column(name="parameters", dtype=pl.Int64(), meaning="Trainable parameters.", unit="count"),
        Column(name="epochs", dtype=pl.Int32(), meaning="Epochs trained.", unit="epochs"),
        Column(name="status", dtype=pl.String(), meaning=_words(Status)),
        Column(
            name="reason",
            dtype=pl.String(),
            meaning="Why its training failed, in words.",
            null="it did not fail",
        ),
        Column(
            name="weights_hash",
            dtype=pl.String(),
            meaning="SHA-256 of the final weights: equal weights, equal hash.",
            null="it failed",
        ),
        Column(
            name="train_seconds",
            dtype=pl.Float64(),
            meaning="Wall time of its training; students trained in lockstep share theirs evenly.",
            unit="s",
            volatile=True,
        ),
        Column(
            name="finished_at",
            dtype=pl.Datetime("us", "UTC"),
            meaning="When its training ended.",
            volatile=True,
        ),
    ),
    ("model_id",),
)

MODEL_PAIR = Frame(
    "model_pair",
    "two models of one block that are compared",
    (
        Column(name="model_a", dtype=pl.Int32(), meaning="The first model (a teacher)."),
        Column(
            name="model_b",
            dtype=pl.Int32(),
            meaning="The second model: a teacher of a higher slot, or a student.",
        ),
        Column(name="kind", dtype=pl.String(), meaning=_words(PairKind)),
        Column(
            name="cka",
            dtype=pl.Float64(),
            meaning="Linear centred kernel alignment of penultimate features on the clean test "
            "images, unbiased HSIC estimator (Kornblith et al. 2019; Song et al. 2012).",
            unit="at most 1",
            null="undefined: a model failed or its features do not vary",
        ),
    ),
    ("model_a", "model_b"),
)

PREDICTION = Frame(
    "prediction",
    "one model's answer to one view of one image",
    (
        _MODEL_ID,
        _VIEW,
        _IMAGE_ID,
        Column(
            name="predicted",
            dtype=pl.Int32(),
            meaning="The class with the largest logit.",
            null="the logits are not finite",
        ),
        Column(
            name="logits",
            dtype=pl.List(pl.Float32()),
            meaning="One logit per class, in eval mode at the last epoch.",
        ),
    ),
    ("model_id", "view", "image_id"),
)

STORED_PREDICTION = Frame(
    "stored_prediction",
    PREDICTION.grain,
    (
        *PREDICTION.columns[:-1],
        replace(PREDICTION.columns[-1], null="they are in halves"),
        Column(
            name="halves",
            dtype=pl.List(pl.UInt64()),
            meaning="The logits rounded to half precision, as the bits of IEEE 754 binary16, four "
            "to a word: unpacked_halves takes them apart, half_value decodes one.",
            null="they are in logits",
        ),
        Column(
            name="classes",
            dtype=pl.Int32(),
            meaning="How many logits the words of halves hold.",
            unit="count",
            null="they are in logits",
        ),
    ),
    PREDICTION.key,
)
"""Predictions as they stand in the store; the view ``prediction`` reads them, either way."""

ATTENTION = Frame(
    "attention",
    "one model's attention map on one view of one test image",
    (
        _MODEL_ID,
        _VIEW,
        _IMAGE_ID,
        Column(name="method", dtype=pl.String(), meaning=_words(AttentionMethod)),
        Column(
            name="map",
            dtype=pl.List(pl.UInt8()),
            meaning="Attention map, min-max scaled to 0..255, row by row.",
            null="undefined: the map is constant or not finite",
        ),
    ),
    ("model_id", "view", "image_id", "method"),
)

MASKED_ATTENTION = Frame(
    "attention",
    ATTENTION.grain,
    (
        *ATTENTION.columns,
        *(
            Column(
                name=f"mask_{word}",
                dtype=pl.Int64(),
                meaning=f"Cells {64 * word} to {64 * word + 63} of the mask (map > 255 tau) as "
                "bits of a signed word, cell i at bit i modulo 64.",
                null="the map is undefined",
            )
            for word in range(MASK_WORDS)
        ),
        Column(
            name="mask_cells",
            dtype=pl.Int32(),
            meaning="Cells of the mask that are on.",
            unit="cells",
            null="the map is undefined",
        ),
    ),
    ATTENTION.key,
)
"""Attention as the store's view of it gives it; shards keep maps alone, so tau can change."""

STORED_ATTENTION = Frame(
    "stored_attention",
    ATTENTION.grain,
    (
        *ATTENTION.columns[:-1],
        Column(
            name="map_words",
            dtype=pl.List(pl.UInt64()),
            meaning="The attention map, eight cells to a word: unpacked_bytes takes them apart.",
            null=ATTENTION.columns[-1].null,
        ),
        Column(
            name="map_cells",
            dtype=pl.Int32(),
            meaning="How many cells the words hold.",
            unit="cells",
            null=ATTENTION.columns[-1].null,
        ),
        *MASKED_ATTENTION.columns[len(ATTENTION.columns) :],
    ),
    ATTENTION.key,
)
"""Attention as it stands in the store; the view ``attention`` reads it."""

EPOCH = Frame(
    "epoch",
    "one epoch of one model's training",
    (
        _MODEL_ID,
        Column(name="epoch", dtype=pl.Int32(), meaning="From 1.", unit="epochs"),
        Column(name="learning_rate", dtype=pl.Float64(), meaning="At the epoch's last step."),
        Column(
            name="train_loss",
            dtype=pl.Float64(),
            meaning="Mean training loss over the epoch, on augmented images in train mode; of a "
            "student that matches logits, the declared mean of nats and squared logits.",
            unit="nats",
        ),
        Column(
            name="train_accuracy",
            dtype=pl.Float64(),
            meaning="Running accuracy over the epoch, on augmented images in train mode.",
            unit="fraction",
        ),
        Column(
            name="test_loss",
            dtype=pl.Float64(),
            meaning="Cross-entropy on the clean test images after the epoch.",
            unit="nats",
            null="not evaluated after this epoch",
        ),
        Column(
            name="test_accuracy",
            dtype=pl.Float64(),
            meaning="Accuracy on the clean test images after the epoch.",
            unit="fraction",
            null="not evaluated after this epoch",
        ),
    ),
    ("model_id", "epoch"),
)

ESTIMATE = Frame(
    "estimate",
    "one measure of one student that needs an estimator beyond SQL",
    (
        Column(name="student_id", dtype=pl.Int32(), meaning="model_id of the student."),
        Column(name="half", dtype=pl.String(), meaning="Test images used: all | a | b."),
        Column(name="measure", dtype=pl.String(), meaning="Which measure: its name in `measures`."),
        Column(
            name="value",
            dtype=pl.Float64(),
            meaning="The estimate, in the measure's unit; never clamped.",
            null="undefined; see reason",
        ),
        Column(
            name="bias",
            dtype=pl.Float64(),
            meaning="Estimated bias already subtracted, in the measure's unit.",
            null="the estimator corrects no bias",
        ),
        Column(name="estimator", dtype=pl.String(), meaning="How it was estimated, in words."),
        Column(
            name="reason",
            dtype=pl.String(),
            meaning="Why there is no value.",
            null="there is a value",
        ),
    ),
    ("student_id", "half", "measure"),
)

_CLAIM = (
    Column(
        name="hypothesis",
        dtype=pl.String(),
        meaning="The claim's id: H1, H2a, ... or M; 'secondary' of measures that none is about, "
        "'contrast' of a factorial study's contrasts, 'distillation' of students against those "
        "without teachers.",
    ),
    Column(
        name="arm",
        dtype=pl.String(),
        meaning="Students compared, an arm of the table condition; of a factorial contrast the "
        "ensembles compared, of_1 | of_2 | of_3.",
    ),
    Column(name="form", dtype=pl.String(), meaning="Measures used: plain | published."),
    Column(name="outcome", dtype=pl.String(), meaning="The measure explained."),
    Column(
        name="predictor",
        dtype=pl.String(),
        meaning="What explains it: a measure, teacher_strength, or the contrast of conditions; "
        "'control': what distilled students are compared with.",
    ),
)


def _number(name: str, meaning: str, null: str) -> Column:
    return Column(name=name, dtype=pl.Float64(), meaning=meaning, null=null)


def _bounds(name: str, what: str, null: str) -> tuple[Column, Column, Column]:
    return (
        _number(f"{name}_low", f"Lower bound of {what}; may be infinite.", null),
        _number(f"{name}_high", f"Upper bound of {what}; may be infinite.", null),
        _number(f"{name}_level", f"Level of {what}, as a fraction.", null),
    )


EVIDENCE = Frame(
    "evidence",
    "one fitted test of one outcome of one claim",
    (
        *_CLAIM,
        Column(name="test", dtype=pl.String(), meaning="The test's identifier."),
        Column(name="rank", dtype=pl.String(), meaning="primary | beside | coupled."),
        Column(name="method", dtype=pl.String(), meaning="The test in words."),
        Column(name="value_name", dtype=pl.String(), meaning="What the estimate is."),
        _number("estimate", "The estimate, in `unit`.", "the test gives none"),
        Column(name="unit", dtype=pl.String(), meaning="Unit of the estimate."),
        _number("standard_error", "Of the estimate, in `unit`.", "the test gives none"),
        Column(
            name="statistic_name",
            dtype=pl.String(),
            meaning="What the test statistic is.",
            null="the test has none",
        ),
        _number("statistic", "The test statistic.", "the test has none"),
        _number("df", "Degrees of freedom.", "the test has none"),
        _number("p_value", "Two-sided p-value.", "the test gives none"),
        _number("smallest_p", "Least p that this many seeds can give.", "the test is not exact"),
        _number(
            "q_value",
            "p adjusted over all secondary tests (Benjamini and Hochberg 1995).",
            "no secondary test, or one beside another of the same",
        ),
        *_bounds("interval", "the confidence interval", "the test gives none"),
        Column(name="n", dtype=pl.Int32(), meaning="Independent units: seeds, never images."),
        Column(name="rows", dtype=pl.Int32(), meaning="Students that went in."),
        Column(
            name="caveats", dtype=pl.List(pl.String()), meaning="What to bear in mind, in words."
        ),
    ),
    ("hypothesis", "arm", "form", "outcome", "predictor", "test", "value_name"),
)

_UNTESTED = "the claim could not be tested"
_NOT_ESTIMATED = "it could not be estimated, or not be tested"

FINDING = Frame(
    "finding",
    "one outcome's verdict in one claim, arm and form",
    (
        *_CLAIM,
        Column(
            name="deciding",
            dtype=pl.Boolean(),
            meaning="Whether this is the claim's one finding in the Holm family.",
        ),
        Column(
            name="as_published",
            dtype=pl.Boolean(),
            meaning="Whether this is what the published study would have read of the claim: its "
            "own computations, in its own arm.",
        ),
        Column(name="verdict", dtype=pl.String(), meaning="The claim's verdict, all outcomes."),
        Column(name="sentence", dtype=pl.String(), meaning="What may be said, in words."),
        Column(name="n", dtype=pl.Int32(), meaning="Independent units: seeds, never images."),
        _number(
            "alpha",
            "The claim's level: after Holm, or at a declared look (0 between looks).",
            _UNTESTED,
        ),
        _number(
            "p_holm",
            "Holm-adjusted p-value of the claim.",
            "the claim is not in the family, or seeds are added by a declared rule",
        ),
        Column(name="outcome_verdict", dtype=pl.String(), meaning="This outcome's verdict."),
        _number("estimate", "The primary test's estimate, in `unit`.", _UNTESTED),
        Column(name="unit", dtype=pl.String(), meaning="Unit of the estimate."),
        _number("p_value", "The primary test's two-sided p-value.", _UNTESTED),
        _number("sesoi", "Smallest effect size of interest, in `unit`.", "none is declared"),
        *_bounds("interval_95", "the 95 % interval", _UNTESTED),
        *_bounds("verdict_interval", "the interval at 1 - alpha", _UNTESTED),
        *_bounds("equivalence_interval", "the interval at 1 - 2 alpha", _UNTESTED),
        Column(
            name="size_uncertain",
            dtype=pl.Boolean(),
            meaning="Whether the interval reaches below the SESOI although it excludes 0.",
        ),
        Column(
            name="seeds_to_decide",
            dtype=pl.Int32(),
            meaning="Number of seeds that would decide it.",
            null="it is decided, or cannot be said",
        ),
        Column(
            name="caveats", dtype=pl.List(pl.String()), meaning="What to bear in mind, in words."
        ),
    ),
    ("hypothesis", "arm", "form", "outcome", "predictor"),
)

SPECIFICATION = Frame(
    "specification",
    "one defensible way to test a claim, in the arm that decides",
    (
        Column(name="hypothesis", dtype=pl.String(), meaning="The claim's id: H1, H2a, ..."),
        Column(name="arm", dtype=pl.String(), meaning="Students compared: the arm that decides."),
        Column(
            name="specification",
            dtype=pl.Int32(),
            meaning="Its place in the claim's curve, from 0: by standardized effect, ascending, "
            "those without one last.",
        ),
        Column(
            name="choices",
            dtype=pl.List(pl.String()),
            meaning="What an analyst has to choose: map, threshold, overlap, gap, ...",
        ),
        Column(
            name="options",
            dtype=pl.List(pl.String()),
            meaning="What is chosen, in the order of `choices`.",
        ),
        Column(
            name="standing",
            dtype=pl.String(),
            meaning="counted | as published | coupled: the last two are shown and not counted.",
        ),
        Column(
            name="deciding",
            dtype=pl.Boolean(),
            meaning="Whether this is, for one outcome, the test that the verdict rests on.",
        ),
        Column(
            name="outcome",
            dtype=pl.String(),
            meaning="The measure explained, of which the options are a variant.",
        ),
        Column(
            name="predictor",
            dtype=pl.String(),
            meaning="What explains it: a measure, of which the options are a variant, or "
            "teacher_strength.",
        ),
        Column(name="test", dtype=pl.String(), meaning="The test's identifier; empty without one."),
        _number("estimate", "The estimate, in `unit`.", _NOT_ESTIMATED),
        Column(name="unit", dtype=pl.String(), meaning="Unit of the estimate."),
        _number("standard_error", "Of the estimate, in `unit`.", _NOT_ESTIMATED),
        _number("statistic", "The t statistic.", _NOT_ESTIMATED),
        _number("df", "Degrees of freedom.", _NOT_ESTIMATED),
        _number("p_value", "Two-sided p-value.", _NOT_ESTIMATED),
        *_bounds("interval", "the 95 % interval of the estimate", _NOT_ESTIMATED),
        _number(
            "standardized",
            "The estimate in standard deviations of a seed, positive in the claimed direction.",
            _NOT_ESTIMATED,
        ),
        *_bounds("standardized_interval", "the 95 % interval of `standardized`", _NOT_ESTIMATED),
        Column(name="n", dtype=pl.Int32(), meaning="Independent units: seeds, never images."),
    ),
    ("hypothesis", "arm", "specification"),
)

_KEPT_OF_FINDING = (
    "deciding",
    "as_published",
    "verdict",
    "n",
    "alpha",
    "p_holm",
    "outcome_verdict",
    "estimate",
    "unit",
    "p_value",
    "sesoi",
    "verdict_interval_low",
    "verdict_interval_high",
    "verdict_interval_level",
    "seeds_to_decide",
    "sentence",
)

FINDING_HISTORY = Frame(
    "finding_history",
    "one outcome's verdict at one analysis of the study, the present one included",
    (
        Column(
            name="analysis",
            dtype=pl.String(),
            meaning="The analysis: a hash of the study, of the shards and of what it found.",
        ),
        Column(
            name="analysed_at",
            dtype=pl.Datetime("us", "UTC"),
            meaning="When it was made first.",
            null="before schema version 2, which kept no time",
            volatile=True,
        ),
        Column(name="study", dtype=pl.String(), meaning="The study's name."),
        Column(
            name="study_hash",
            dtype=pl.String(),
            meaning="SHA-256 of everything that the study file declared then.",
        ),
        Column(name="seeds", dtype=pl.Int32(), meaning="Seed blocks that the store held then."),
        *_CLAIM,
        *(
            replace(
                column,
                null="as in finding, or the version that recorded it kept no such column",
            )
            for column in FINDING.columns
            if column.name in _KEPT_OF_FINDING
        ),
    ),
    ("analysis", "hypothesis", "arm", "form", "outcome", "predictor"),
)
"""Only ever added to: a study that grows by looking keeps what it saw at each look."""

SHARD_FRAMES = (MODEL, MODEL_PAIR, PREDICTION, ATTENTION, EPOCH)
"""What a shard holds, one Parquet file each."""

STORE_FRAMES = (
    IMAGE,
    MODEL,
    MODEL_PAIR,
    STORED_PREDICTION,
    STORED_ATTENTION,
    EPOCH,
    ESTIMATE,
)
"""What the store holds that comes from shards or is estimated from them."""
