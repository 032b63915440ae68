"""Whether studies' estimates mean the same thing, by what the studies declare.

The same outcome, unit and predictor are not enough. A slope per unit of strength is another thing
under another augmentation policy, or where ensembles mix strengths; students of another arm, or of
ensembles of another size, are other students; and overlap of class activation maps is not overlap
of a transformer's attention.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analyze.comparison import DeclaredDifference, Likeness
from analyze.hypotheses import HYPOTHESES, STRENGTH
from analyze.results import Finding, OutcomeFinding, Results
from store.conditions import DoseResponse
from store.design import Design
from store.images import ForeignData, image_numbers
from store.vocabulary import Arm

_ATTENTION: Final = "attention"
_NOT_COMPARED: Final = ("study", "title", "pack_size", "deviations", "store")
"""Keys whose difference changes nothing that is compared."""

_SETTINGS_NAMED: Final = 3
"""Keys whose values a caveat gives; of more it names the keys."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One study to compare. design: what it declares; None where that is not at hand."""

    label: str
    results: Results
    design: Design | None


def dose_of(design: Design) -> str:
    """Say what a unit of strength is."""
    if design.foreign is not None:
        return f"of another software: {design.foreign.strength}"
    return f"policy {design.augmentation.policy}{_mixing(design)}"


def _mixing(design: Design) -> str:
    plan = design.plan()
    arm = design.design.main_arm
    mixed = any(len(set(plan.strengths_of(s))) > 1 for s in plan.students if s.arm == arm)
    return ", mean over teachers that differ" if mixed else ""


def likeness(finding: Finding, outcome: OutcomeFinding, design: Design) -> Likeness:
    """Return what another study's estimate must share to be put together with this one."""
    claim = HYPOTHESES.get(finding.hypothesis)
    of_teachers = claim is not None and not claim.needs_students
    looks = any(_ATTENTION in name for name in (outcome.outcome, outcome.predictor))
    return Likeness(
        outcome=outcome.outcome,
        predictor=outcome.predictor,
        unit=outcome.unit,
        # teachers are the same whoever learns from them
        arm="" if of_teachers else finding.arm,
        teachers=design.deciding_ensemble,
        dose=dose_of(design) if outcome.predictor == STRENGTH else "",
        attention=str(design.attention.primary) if looks else "",
    )


def same_draws(one: Submission, other: Submission) -> bool:
    """Whether both rest on the same random draws, so that these would count twice.

    They do where the study is the same, or study_seed and images are, and blocks of one number are
    in both: networks then start alike, and see the same images. Of shared teachers any two blocks
    do, since a block's pool is its number modulo the pools.
    """
    if not _same_streams(one, other):
        return False
    pooled = (each.results.counts.teacher_pools is not None for each in (one, other))
    return all(pooled) or bool(_blocks(one.results) & _blocks(other.results))


def _same_streams(one: Submission, other: Submission) -> bool:
    if one.results.study_hash == other.results.study_hash:
        return True
    a, b = one.design, other.design
    if a is None or b is None or isinstance(a.dataset, ForeignData):
        return False
    same_images = a.dataset.kind == b.dataset.kind and image_numbers(a.dataset) == image_numbers(
        b.dataset
    )
    return a.study_seed == b.study_seed and same_images


def _blocks(results: Results) -> frozenset[int]:
    return frozenset(block for series in results.series for block in series.blocks)


def declared_differences(designs: Sequence[Design | None]) -> tuple[DeclaredDifference, ...]:
    """Return every key that the studies at hand declare differently."""
    flat = [None if design is None else _flat(design.declared()) for design in designs]
    known = [one for one in flat if one is not None]
    keys = dict.fromkeys(key for one in known for key in one)
    return tuple(
        DeclaredDifference(
            key=key, values=tuple(None if one is None else one.get(key) for one in flat)
        )
        for key in keys
        if key.split(".")[0] not in _NOT_COMPARED and len({one.get(key) for one in known}) > 1
    )


def _flat(value: Mapping[str, object]) -> dict[str, str]:
    return dict(_leaves(value, ""))


def _leaves(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(value, ensure_ascii=False)


def unlike_words(one: Likeness, other: Likeness) -> str:
    """Say in what two likenesses of one outcome differ."""
    said = [
        f"{words} ({mine or 'none'}, not {theirs or 'none'})"
        for words, mine, theirs in (
            ("unit", one.unit, other.unit),
            ("predictor", one.predictor, other.predictor),
            ("students", one.arm, other.arm),
            ("teachers of an ensemble", str(one.teachers), str(other.teachers)),
            ("strength", one.dose, other.dose),
            ("attention map", one.attention, other.attention),
        )
        if mine != theirs
    ]
    return ", ".join(said)


def differing_settings(alike: Likeness, members: Sequence[tuple[str, Design]]) -> tuple[str, ...]:
    """Say what else differs between studies that are put together, and bears on the estimate.

    members: labels, and what is declared.
    """
    found: list[str] = []
    policies = {label: {"by": dose_of(design)} for label, design in members}
    settings = {label: _settings(design) for label, design in members}
    if differing := _differing(policies):
        found.append(f"Augmentation is {differing}.")
    elif differing := _differing(settings):
        found.append(
            "Strengths are of one policy with other settings, so that a unit of strength is not "
            f"quite the same: {differing}."
            if alike.dose
            else f"Augmentation differs: {differing}."
        )
    strengths = {label: {"strengths": _strengths(design)} for label, design in members}
    if alike.dose and (differing := _differing(strengths)):
        found.append(f"Trends are over other strengths: {differing}.")
    if alike.arm == Arm.FIXED:
        fixed = {
            label: {"fixed_strength": f"{design.design.fixed_strength:g}"}
            for label, design in members
            if isinstance(design.design, DoseResponse)
        }
        if differing := _differing(fixed):
            found.append(f"Students are augmented otherwise: {differing}.")
    tau = {label: {"tau": f"{design.attention.tau:g}"} for label, design in members}
    if alike.attention and (differing := _differing(tau)):
        found.append(f"Attention is cut at another threshold: {differing}.")
    return tuple(found)


def _settings(design: Design) -> dict[str, str]:
    return _flat(design.augmentation.model_dump(mode="json")) if design.foreign is None else {}


def _strengths(design: Design) -> str:
    plan, arm = design.plan(), design.design.main_arm
    used = {s.teacher_strength for s in plan.students if s.arm == arm}
    return ", ".join(f"{value:.3g}" for value in sorted(v for v in used if v is not None))


def _differing(settings: Mapping[str, Mapping[str, str]]) -> str:
    """Return ``key value (label), value (label)`` of every key that is not the same in all.

    Of many keys their names alone: ``Comparison.differences`` has the values.
    """
    keys = dict.fromkeys(key for one in settings.values() for key in one)
    differ = [key for key in keys if len({one.get(key) for one in settings.values()}) > 1]
    if len(differ) > _SETTINGS_NAMED:
        return ", ".join(_words(key) for key in differ)
    texts: list[str] = []
    for key in differ:
        values: dict[str, list[str]] = {}
        for label, one in settings.items():
            values.setdefault(one.get(key, "none"), []).append(label)
        listed = ", ".join(f"{value} ({', '.join(who)})" for value, who in values.items())
        texts.append(f"{_words(key)} {listed}")
    return "; ".join(texts)


def _words(key: str) -> str:
    return key.split(".")[-1].replace("_", " ")
