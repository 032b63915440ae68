"""What a reader must know beside a finding: where arms or forms disagree, what intervals mean."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analyze.decide import ALPHA, MINIMUM_SEEDS
from analyze.hypotheses import HYPOTHESES, STRENGTH
from analyze.looks import level_words, rule_words
from analyze.questions import Question
from analyze.results import Finding, ReplicateCounts, SequentialLook, Verdict
from analyze.shared_teachers import cost_of_sharing
from store.conditions import DoseResponse, Factorial
from store.design import Design
from store.images import ForeignData, drawn_per_block
from store.measures import BY_NAME
from store.vocabulary import Arm

_WITHOUT_READING: Final = frozenset({Verdict.DESCRIPTIVE, Verdict.NO_DATA})
_WHY_LEVELS: Final = (
    "The two arms' students are themselves augmented differently, and a claim may hold of the one "
    "kind and not of the other."
)
_WHY_ARMS: Final = (
    "In the matched arm the student's own augmentation moves with its teachers', so it explains "
    "what is seen there as well as the teachers do; only the fixed arm speaks of teachers alone."
)

_NO_DOSE: Final = {
    "published": "weak rotates and strong does not",
    "published_imagenet": (
        "strong does what weak does and then operations of other kinds, not more of the same"
    ),
}
"""Why the strengths of a policy are names, by policy."""


def with_disagreements(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Add to every deciding finding where another arm or the published form reads otherwise."""
    return tuple(
        replace(finding, caveats=(*finding.caveats, *disagreements(finding, findings)))
        if finding.deciding
        else finding
        for finding in findings
    )


def disagreements(deciding: Finding, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Say where the same claim's other findings have another verdict, and why that can be."""
    if deciding.verdict in _WITHOUT_READING:
        return ()
    others = [
        other
        for other in findings
        if other.hypothesis == deciding.hypothesis
        and other.verdict is not deciding.verdict
        and other.verdict not in _WITHOUT_READING
    ]
    texts: list[str] = []
    for other in others:
        head = (
            f"{deciding.hypothesis} is {deciding.verdict} in the {deciding.arm} arm, "
            f"{other.verdict} "
        )
        if other.form == deciding.form:
            texts.append(f"{head}in the {other.arm} arm. {_why_arms(deciding, other)}")
        elif other.as_published:
            why = "" if other.arm == deciding.arm else f" {_why_arms(deciding, other)}"
            texts.append(
                f"{head}as the published study computed it, in the {other.arm} arm. "
                f"{_why_forms(deciding)}{why}"
            )
    return tuple(texts)


def study_caveats(
    design: Design,
    counts: ReplicateCounts,
    questions: Sequence[Question],
    findings: Sequence[Finding],
    look: SequentialLook | None = None,
) -> tuple[str, ...]:
    """Say what holds for the whole study. look: where seeds are added by a declared rule."""
    return (
        _scope(design),
        *_long_tailed(design),
        *_named_strengths(design),
        *_mixtures(design),
        *_new_images(counts),
        *_few(counts),
        *cost_of_sharing(counts),
        *(_partial(counts) if look is None else ()),
        *_failed(counts),
        *(_family(questions) if look is None else _at_look(questions, look)),
        *_one_arm(design),
        *(text for each in findings if each.deciding for text in disagreements(each, findings)),
    )


def _why_arms(deciding: Finding, other: Finding) -> str:
    return _WHY_ARMS if Arm.MATCHED in {deciding.arm, other.arm} else _WHY_LEVELS


def _why_forms(finding: Finding) -> str:
    """How the published computations of a finding's measures differ."""
    names = dict.fromkeys(
        name
        for outcome in finding.outcomes
        for name in (outcome.outcome, outcome.predictor)
        if name != STRENGTH
    )
    return " ".join(BY_NAME[name].differs for name in names if BY_NAME[name].differs)


def _scope(design: Design) -> str:
    drawn = (
        "new seeds and new subsets of this pool of training images"
        if drawn_per_block(design.dataset)
        else "new seeds trained on these same images"
    )
    return (
        f"Intervals speak of {drawn}, measured on these {design.dataset.test_size} test images; "
        "not of other images, networks or data sets."
    )


def _long_tailed(design: Design) -> tuple[str, ...]:
    if isinstance(design.dataset, ForeignData) or design.dataset.imbalance in (None, 1):
        return ()
    return (
        f"The training images are long-tailed (imbalance {design.dataset.imbalance:g}), the test "
        "images are not: a generalization gap between them is also one between rare and frequent "
        "classes. Compare it between conditions, not with gaps of other data sets.",
    )


def _named_strengths(design: Design) -> tuple[str, ...]:
    why = _NO_DOSE.get(design.augmentation.policy)
    if why is None:
        return ()
    return (
        "Strengths 0, 0.5 and 1 are the names none, weak and strong of the published policies: "
        f"they have an order and are no dose, since {why}. Read a change from strength 0 to 1 as "
        "one from none to strong, and a trend as an ordering.",
    )


def _mixtures(design: Design) -> tuple[str, ...]:
    """Say what the dose is where teachers of one ensemble may differ, and whose claims are read."""
    layout = design.design
    if not isinstance(layout, Factorial):
        plan = design.plan()
        if all(len(set(plan.strengths_of(student))) <= 1 for student in plan.students):
            return ()
        return (
            "The dose is the mean strength of an ensemble's teachers; of teachers that differ it "
            "is a mixture, no augmentation between theirs. Where ensembles of an arm share a mean "
            "strength, a trend takes their mean within each seed.",
        )
    return (
        "The dose is the mean strength of an ensemble's teachers, that is, how many of them are "
        f"strong: between weak ({layout.weak:g}) and strong ({layout.strong:g}) lie mixtures, no "
        "augmentation between the two. A slope per unit of strength is the change from all weak to "
        f"all strong, divided by {layout.strong - layout.weak:g}. Claims are read in ensembles of "
        f"{layout.deciding_teachers}; the contrasts are of every size.",
    )


def _new_images(counts: ReplicateCounts) -> tuple[str, ...]:
    if counts.seeds_analyzed < MINIMUM_SEEDS:
        return ()
    return (
        "How much wider the interval of a deciding test is for new test images of the same kind "
        "stands beside it, as the seed x image bootstrap.",
    )


def _few(counts: ReplicateCounts) -> tuple[str, ...]:
    if counts.seeds_analyzed >= MINIMUM_SEEDS:
        return ()
    return (
        f"{counts.seeds_analyzed} seed{'' if counts.seeds_analyzed == 1 else 's'} to analyze: "
        f"below {MINIMUM_SEEDS} an analysis describes and does not test, so there is no p-value.",
    )


def _partial(counts: ReplicateCounts) -> tuple[str, ...]:
    if counts.seeds_stored >= counts.seeds_declared:
        return ()
    return (
        f"{counts.seeds_stored} of the {counts.seeds_declared} seed blocks declared are stored. "
        "To look before all are in, and go on depending on what is seen, raises the error rate.",
    )


def _failed(counts: ReplicateCounts) -> tuple[str, ...]:
    if not counts.models_failed:
        return ()
    left_out = (
        "every seed block with a failed model"
        if counts.failed_rule == "exclude_block"
        else "every student that failed or has a failed teacher"
    )
    return (
        f"{counts.models_failed} of {counts.models_stored} models failed. By the study's rule the "
        f"analysis leaves out {left_out}. If failure depends on strength, what remains is not "
        "what was declared.",
    )


def _family(questions: Sequence[Question]) -> tuple[str, ...]:
    deciding = [question.hypothesis for question in questions if question.deciding]
    primary = [claim.id for claim in deciding if claim.primary]
    secondary = [claim.id for claim in deciding if not claim.primary]
    texts: list[str] = []
    if primary:
        texts.append(
            f"Verdicts hold together at error rate {ALPHA:g} by Holm's method over the primary "
            f"claims {', '.join(primary)}; once a claim fails, the later ones keep its level. A "
            "claim with two outcomes enters with the larger p."
        )
    if secondary:
        texts.append(
            f"{', '.join(secondary)} is secondary: read at {ALPHA:g}, outside that family."
        )
    texts.append(
        "Measures that no claim is about have no verdict; their p are adjusted together by "
        "Benjamini and Hochberg's method."
    )
    return tuple(texts)


def _at_look(questions: Sequence[Question], look: SequentialLook) -> tuple[str, ...]:
    """Say the rule and the look; of secondary claims, the level that they are read at."""
    said = rule_words(look, claim="primary claim")
    if look.look is not None and look.next_look is not None:
        said += " Where a study stops early because of an estimate, that estimate is too large."
    secondary = [
        question.hypothesis.id
        for question in questions
        if question.deciding and not question.hypothesis.primary
    ]
    if not secondary or look.look is None:
        return (said,)
    return (
        said,
        f"{', '.join(secondary)} is secondary: read at {level_words(look.secondary_level)}, this "
        f"look's of {ALPHA:g}, outside that family.",
    )


def _one_arm(design: Design) -> tuple[str, ...]:
    if not isinstance(design.design, DoseResponse):
        return ()
    about_students = any(HYPOTHESES[claim].needs_students for claim in design.claims)
    if Arm.FIXED in design.design.arms or not about_students:
        return ()
    return ("The study has no fixed arm. " + _WHY_ARMS.replace("only the", "only a"),)
