"""Studies to compare: what each declares, and results written by hand."""

from pathlib import Path
from typing import Any

from scipy.stats import t

from analyze.hypotheses import HYPOTHESES
from analyze.likeness import Submission
from analyze.results import (
    Evidence,
    Finding,
    Interval,
    OutcomeFinding,
    Rank,
    ReplicateCounts,
    Results,
    Series,
    Verdict,
)
from store.design import Design
from store.study_file import load_design

TINY = load_design(Path(__file__).parents[1] / "workflow" / "tiny.yaml")


def declared(name: str, *, study_seed: int | None = None, **changed: Any) -> Design:
    """The tiny study by another name and seed, with sections changed."""
    seed = sum(name.encode()) if study_seed is None else study_seed
    content = TINY.model_dump(mode="json", exclude_unset=True)
    return Design.model_validate(content | {"study": name, "study_seed": seed} | changed)


def submitted(
    name: str,
    estimate: float,
    error: float,
    *,
    claims: tuple[str, ...] = ("H1", "H2a", "H2b"),
    sesoi: float = 0.05,
    seeds: int = 8,
    verdict: Verdict = Verdict.UNDECIDED,
    arm: str = "fixed",
    pools: int | None = None,
    design: Design | None = None,
    known: bool = True,
    **parts: Any,
) -> Submission:
    """One study in which every outcome has the same estimate. known: what it declares is."""
    design = design or declared(name)
    results = Results(
        format_version=1,
        study=name,
        title=f"The study {name}",
        study_hash=design.study_hash(),
        kind="inferential" if seeds >= 3 else "descriptive",
        alpha=0.05,
        counts=ReplicateCounts(
            seeds_declared=seeds, seeds_stored=seeds, seeds_analyzed=seeds, models_stored=10,
            models_failed=0, failed_rule="exclude_block", failures=(), excluded=(),
            teacher_pools=pools,
        ),
        findings=tuple(
            _finding(claim, estimate, error, seeds=seeds, sesoi=sesoi, verdict=verdict, arm=arm)
            for claim in claims
        ),
        series=(
            Series(
                measure="agreement", arm=arm, condition_id=0, strength=0.0,
                teacher_strengths=(0.0, 0.0), blocks=tuple(range(seeds)), values=(0.5,) * seeds,
                mean=0.5, interval=None,
            ),
        ),
        fits=(), mutual_information=(), missing=(), caveats=(),
        **parts,
    )  # fmt: skip
    return Submission(name, results, design if known else None)


def _finding(
    name: str,
    estimate: float,
    error: float,
    *,
    seeds: int,
    sesoi: float,
    verdict: Verdict,
    arm: str,
) -> Finding:
    claim = HYPOTHESES[name]
    reach = float(t.ppf(0.975, seeds - 1)) * error
    interval = Interval(low=estimate - reach, high=estimate + reach, level=0.95)
    tested = verdict not in {Verdict.DESCRIPTIVE, Verdict.NO_DATA}
    known = estimate if verdict is not Verdict.NO_DATA else None

    def evidence(outcome: str, rank: Rank) -> Evidence:
        # what stands beside must not be taken for what decides
        spread = error if rank is Rank.PRIMARY else 7 * error
        return Evidence(
            hypothesis=name, arm=arm, form="plain", outcome=outcome, predictor=claim.predictor,
            test=str(rank), rank=rank, method="as written", value_name="slope",
            estimate=known if rank is Rank.PRIMARY else 99.0, unit="per unit",
            standard_error=spread if tested else None, df=seeds - 1.0 if tested else None,
            n=seeds, rows=3 * seeds,
        )  # fmt: skip

    return Finding(
        hypothesis=name, statement=claim.statement, arm=arm, form="plain", deciding=True,
        as_published=False, verdict=verdict, sentence="As written.", n=seeds, alpha=0.05,
        p_holm=None,
        outcomes=tuple(
            OutcomeFinding(
                outcome=outcome, predictor=claim.predictor, verdict=verdict, estimate=known,
                unit="per unit", p_value=None, alpha=0.05, sesoi=sesoi,
                interval_95=interval if tested else None, verdict_interval=None,
                equivalence_interval=None, size_uncertain=False, seeds_to_decide=None,
            )
            for outcome in claim.outcomes
        ),
        evidence=tuple(
            evidence(outcome, rank)
            for rank in (Rank.BESIDE, Rank.PRIMARY)
            for outcome in claim.outcomes
        ),
    )  # fmt: skip
