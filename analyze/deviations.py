"""What was done otherwise than the study file declares, and what that does to the reading.

Found by comparing the study file with the replicates and with what earlier analyses of the study
recorded; what only people know, they tell in the study file's own ``deviations``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import polars as pl

from analyze.results import (
    Departure,
    Deviation,
    Finding,
    ReplicateCounts,
    SequentialLook,
    Verdict,
)
from store.design import Design
from store.measures import BY_NAME

_LOOKED: Final = (
    "A test holds its level when the data are looked at once. Each earlier look raises the error "
    "rate of all together, if going on depended on what was seen; this analysis does not make up "
    "for it."
)
_AFTER_DATA: Final = (
    "What is too small to matter was changed after the data had been looked at, so a verdict that "
    "rests on the new value was not declared beforehand."
)


def deviations_of(
    design: Design,
    counts: ReplicateCounts,
    findings: Sequence[Finding],
    history: pl.DataFrame,
    look: SequentialLook | None = None,
) -> tuple[Deviation, ...]:
    """Name every departure from what was declared; none where all was done as declared.

    history: rows of FINDING_HISTORY, the present analysis among them or not. look: of a study
    whose seeds are added by a declared rule.
    """
    deciding = [finding for finding in findings if finding.deciding]
    earlier = history.filter(pl.col("study") == design.study, pl.col("deciding"))
    return (
        *_seeds(counts, look),
        *_looks(counts, earlier, look),
        *_claims(deciding, earlier),
        *_arms(deciding, earlier),
        *_sesois(deciding, earlier),
        *(_told(words) for words in design.deviations),
    )


def _seed_blocks(count: int) -> str:
    return f"{count} seed block{'' if count == 1 else 's'}"


def _listed(values: Iterable[object]) -> str:
    """Write values as "4", "4 and 8" or "4, 8 and 12"."""
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def _told(words: str) -> Deviation:
    return Deviation(departure=Departure.TOLD, declared="", done=words, meaning="")


def _seeds(counts: ReplicateCounts, look: SequentialLook | None) -> Iterator[Deviation]:
    declared, stored, analyzed = (
        counts.seeds_declared,
        counts.seeds_stored,
        counts.seeds_analyzed,
    )
    if stored < declared and (look is None or look.look is None):
        yield Deviation(
            departure=Departure.SEEDS,
            declared=_seed_blocks(declared),
            done=f"{_seed_blocks(stored)} stored",
            meaning="To look before all are in, and go on depending on what is seen, raises the "
            "error rate.",
        )
    if analyzed < stored:
        yield Deviation(
            departure=Departure.SEEDS,
            declared=f"{_seed_blocks(stored)} stored",
            done=f"{analyzed} analyzed",
            meaning="The others are left out by the declared rule for failed runs. If failure "
            "depends on strength, what remains is not what was declared.",
        )
    if look is not None and look.look is None:
        yield Deviation(
            departure=Departure.LOOK,
            declared=f"looks at {_listed(look.looks)} seeds",
            done=f"analyzed at {look.seeds}",
            meaning="Nothing is read between declared looks.",
        )


def _looks(
    counts: ReplicateCounts, earlier: pl.DataFrame, look: SequentialLook | None
) -> Iterator[Deviation]:
    """Name numbers of seeds at which tests were read that no rule declares."""
    read = earlier.filter(pl.col("p_value").is_not_null(), pl.col("alpha") > 0)
    allowed = {counts.seeds_stored, *(look.looks if look else ())}
    others = sorted(set(read["seeds"].to_list()) - allowed)
    if others:
        yield Deviation(
            departure=Departure.LOOK,
            declared=f"looks at {_listed(look.looks)} seeds" if look else "one look, at all seeds",
            done=f"tested before with {_listed(others)} seeds",
            meaning=_LOOKED,
        )


def _claims(deciding: Sequence[Finding], earlier: pl.DataFrame) -> Iterator[Deviation]:
    for finding in deciding:
        if finding.verdict is Verdict.NO_DATA:
            yield Deviation(
                departure=Departure.CLAIM,
                declared=f"{finding.hypothesis} is tested",
                done="not tested",
                meaning="There is nothing to compute it from.",
            )
    now = {finding.hypothesis for finding in deciding}
    for claim in sorted(set(earlier["hypothesis"].to_list()) - now):
        yield Deviation(
            departure=Departure.CLAIM,
            declared=f"{claim} was a claim at an earlier analysis",
            done="it is none now",
            meaning="A claim that is dropped after its data were seen shares no error rate with "
            "those that stayed.",
        )
    first = earlier.sort("analysed_at", nulls_last=False)["analysis"].head(1)
    at_first = set(earlier.filter(pl.col("analysis").is_in(first.implode()))["hypothesis"])
    for claim in sorted(now - at_first) if at_first else ():
        yield Deviation(
            departure=Departure.CLAIM,
            declared=f"{claim} was no claim at the first analysis",
            done="it is one now",
            meaning="It was added after the data of other claims had been looked at.",
        )


def _arms(deciding: Sequence[Finding], earlier: pl.DataFrame) -> Iterator[Deviation]:
    for finding in deciding:
        rows = earlier.filter(pl.col("hypothesis") == finding.hypothesis)
        for arm in sorted(set(rows["arm"].to_list()) - {finding.arm}):
            yield Deviation(
                departure=Departure.ARM,
                declared=f"{finding.hypothesis} was decided in the {arm} arm",
                done=f"it is decided in the {finding.arm} arm",
                meaning="Another arm decides than when the data were first looked at.",
            )


def _sesois(deciding: Sequence[Finding], earlier: pl.DataFrame) -> Iterator[Deviation]:
    for finding in deciding:
        for outcome in finding.outcomes:
            rows = earlier.filter(
                pl.col("hypothesis") == finding.hypothesis,
                pl.col("outcome") == outcome.outcome,
                pl.col("predictor") == outcome.predictor,
            )
            held = rows["sesoi"].drop_nulls().unique().sort().to_list()
            others = [sesoi for sesoi in held if sesoi != outcome.sesoi]
            if others:
                yield Deviation(
                    departure=Departure.SESOI,
                    declared=f"{finding.hypothesis}, {BY_NAME[outcome.outcome].title}: effects "
                    f"within ±{_listed(f'{value:g}' for value in others)} were too small to matter",
                    done=f"within ±{outcome.sesoi:g}",
                    meaning=_AFTER_DATA,
                )
