"""Results written by hand: what an analysis could say, of numbers drawn."""

import numpy as np

from analyze.calibration import calibrations_of
from analyze.hypotheses import HYPOTHESES, Estimand, Hypothesis
from analyze.results import (
    Evidence,
    Finding,
    FitLine,
    FitPoint,
    Interval,
    MissingCount,
    MutualInformation,
    OutcomeFinding,
    Rank,
    ReplicateCounts,
    Results,
    Series,
    SingleSeed,
    Verdict,
)
from store.measures import BY_NAME
from store.vocabulary import Form

VERDICTS = {
    "H1": Verdict.SUPPORTED,
    "H2a": Verdict.NEGLIGIBLE,
    "H2b": Verdict.UNDECIDED,
    "H3a": Verdict.SUPPORTED,
    "H3b": Verdict.CONTRADICTED,
    "H4": Verdict.UNDECIDED,
}
CENTRES = {
    Verdict.SUPPORTED: 3.0,
    Verdict.CONTRADICTED: -2.2,
    Verdict.NEGLIGIBLE: 0.1,
    Verdict.UNDECIDED: 0.6,
}


def drawn_results(
    *,
    seeds: int = 8,
    strengths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0),
    arms: tuple[str, ...] = ("fixed", "matched"),
    title: str = "Drawn numbers: does attention move?",
    nothing: bool = False,
) -> Results:
    """Every claim in every arm and form. nothing: no claim has data."""
    writer = _Writer(seeds, strengths, arms, nothing=nothing)
    findings = tuple(
        writer.finding(claim, arm, form)
        for claim in HYPOTHESES.values()
        for arm in arms
        for form in Form
    )
    return Results(
        format_version=1,
        study="drawn",
        title=title,
        study_hash="ab" * 32,
        kind="inferential" if seeds >= 3 else "descriptive",
        alpha=0.05,
        counts=ReplicateCounts(
            seeds_declared=seeds,
            seeds_stored=seeds,
            seeds_analyzed=0 if nothing else seeds,
            models_stored=20 * seeds,
            models_failed=20 * seeds if nothing else 1,
            failed_rule="a block with a failed model is left out whole",
            failures=("block 3, student 4: loss is not finite in epoch 2",),
            excluded=("block 3: a model failed",),
        ),
        findings=findings,
        series=() if nothing else writer.series(),
        fits=tuple(writer.fits),
        mutual_information=() if nothing else writer.information(),
        missing=(
            MissingCount(measure="attention_iou", reason="no mask in either map (0/0)", rows=3),
        ),
        caveats=("Intervals speak of new seeds and subsets of this pool, on these test images.",),
        calibration=calibrations_of(findings),
    )


class _Writer:
    def __init__(
        self, seeds: int, strengths: tuple[float, ...], arms: tuple[str, ...], *, nothing: bool
    ) -> None:
        self._rng = np.random.default_rng(5)
        self._seeds, self._strengths, self._arms = seeds, strengths, arms
        self._nothing = nothing
        self.fits: list[FitLine] = []

    def finding(self, claim: Hypothesis, arm: str, form: Form) -> Finding:
        verdict = VERDICTS[claim.id]
        if arm == "matched" and claim.id == "H2a":
            verdict = Verdict.SUPPORTED
        if form is Form.PUBLISHED and claim.id in {"H2a", "H2b"}:
            verdict = Verdict.SUPPORTED
        centre = verdict
        if self._nothing:
            verdict = Verdict.NO_DATA
        elif self._seeds < 3:
            verdict = Verdict.DESCRIPTIVE
        outcomes, evidence = [], []
        for name in claim.outcomes:
            plain = BY_NAME[name]
            outcome = (plain.published or name) if form is Form.PUBLISHED else name
            sesoi = 0.05
            sign = claim.direction.sign
            estimate = sign * sesoi * (CENTRES[centre] + self._rng.normal(0, 0.1))
            wide = 0.5 if centre is Verdict.NEGLIGIBLE else 1.1
            half = sesoi * wide * (1 + 0.2 * self._rng.random())
            outcomes.append(self._outcome(claim, outcome, verdict, estimate, half, sesoi))
            if not self._nothing:
                evidence += self._evidence(claim, outcome, arm, form, estimate, half)
                self._fit(claim, outcome, arm, form, estimate)
        return Finding(
            hypothesis=claim.id,
            statement=claim.statement,
            arm=arm,
            form=str(form),
            deciding=arm == self._arms[0] and form is Form.PLAIN,
            as_published=arm == self._arms[-1] and form is Form.PUBLISHED,
            verdict=verdict,
            sentence="What was found, in the analysis's own words, stands here.",
            n=0 if self._nothing else self._seeds,
            alpha=0.0125,
            p_holm=0.004 if verdict is Verdict.SUPPORTED else None,
            outcomes=tuple(outcomes),
            evidence=tuple(evidence),
            single_seed=None
            if self._nothing
            else SingleSeed(claimed=0.871, opposite=0.118, picks=32768, exact=True),
            caveats=("Teachers of one slot share their random streams over strengths.",),
        )

    def _outcome(
        self,
        claim: Hypothesis,
        outcome: str,
        verdict: Verdict,
        estimate: float,
        half: float,
        sesoi: float,
    ) -> OutcomeFinding:
        known = not self._nothing
        tested = known and self._seeds >= 3
        interval = Interval(low=estimate - half, high=estimate + half, level=0.95)
        return OutcomeFinding(
            outcome=outcome,
            predictor=claim.predictor,
            verdict=verdict,
            estimate=estimate if known else None,
            unit=f"{BY_NAME[outcome].unit} per unit of strength",
            p_value=(2e-6 if abs(estimate) > half else 0.21) if tested else None,
            alpha=0.0125,
            sesoi=sesoi,
            interval_95=interval if tested else None,
            verdict_interval=interval if tested else None,
            equivalence_interval=interval if tested else None,
            size_uncertain=verdict is Verdict.CONTRADICTED,
            seeds_to_decide=23 if verdict is Verdict.UNDECIDED else None,
        )

    def _evidence(
        self,
        claim: Hypothesis,
        outcome: str,
        arm: str,
        form: Form,
        estimate: float,
        half: float,
    ) -> list[Evidence]:
        tested = self._seeds >= 3
        t = estimate / half * 2.3

        def one(test: str, method: str, rank: Rank, value: str = "slope", **rest) -> Evidence:
            return Evidence(
                hypothesis=claim.id,
                arm=arm,
                form=str(form),
                outcome=outcome,
                predictor=claim.predictor,
                test=test,
                rank=rank,
                method=method,
                value_name=value,
                n=self._seeds,
                rows=self._seeds * len(self._strengths),
                **rest,
            )

        primary = one(
            "per_seed_slope_t",
            "One OLS slope per seed, one-sample t",
            Rank.PRIMARY,
            estimate=estimate,
            unit="fraction per unit of strength",
            standard_error=half / 2.3 if tested else None,
            statistic_name="t" if tested else None,
            statistic=t if tested else None,
            df=float(self._seeds - 1) if tested else None,
            p_value=2e-6 if tested else None,
            interval=Interval(low=estimate - half, high=estimate + half, level=0.95)
            if tested
            else None,
        )
        if not tested:
            return [primary]
        beside = [
            one("sign_flip", "Exact sign-flip permutation", Rank.BESIDE, value="mean_slope",
                estimate=estimate, unit="fraction", p_value=2 / 2**self._seeds,
                smallest_p=2 / 2**self._seeds),
            one("page", "Page's trend test (exact, doubled)", Rank.BESIDE, value="L", estimate=None,
                unit="", statistic_name="L", statistic=412.0, p_value=0.00031,
                caveats=("Ranks only: says nothing of size.",)),
        ]  # fmt: skip
        if claim.estimand is Estimand.WITHIN_ASSOCIATION:
            beside += [
                one(f"correlation_{kind}", f"{kind.replace('_', ' ')} correlation", Rank.BESIDE,
                    value="correlation", estimate=r, unit="", p_value=p,
                    interval=Interval(low=r - 0.1, high=r + 0.05, level=0.95))
                for kind, r, p in (
                    ("pooled", 0.81, 1e-9), ("between_condition", 0.93, 0.02),
                    ("between_seed", -0.12, 0.7), ("within_seed", 0.84, 1e-9),
                    ("two_way_within", 0.07, 0.61),
                )
            ]  # fmt: skip
        return [primary, *beside]

    def _fit(self, claim: Hypothesis, outcome: str, arm: str, form: Form, slope: float) -> None:
        points = []
        for block in range(self._seeds):
            level = self._rng.normal(0, 0.02)
            for strength in self._strengths:
                noise = self._rng.normal(0, 0.012)
                if claim.estimand is Estimand.SLOPE_ON_STRENGTH:
                    x, y = strength, 0.6 + level + slope * strength + noise
                else:
                    x = self._rng.normal(0, 0.05)
                    y = slope * x + noise
                points.append(FitPoint(block=block, strength=strength, x=x, y=y))
        xs = np.linspace(min(p.x for p in points), max(p.x for p in points), 12)
        centre = 0.6 if claim.estimand is Estimand.SLOPE_ON_STRENGTH else 0.0
        ys = centre + slope * xs
        spread = 0.01 + 0.02 * np.abs(xs - xs.mean())
        tested = self._seeds >= 3
        self.fits.append(
            FitLine(
                hypothesis=claim.id,
                arm=arm,
                form=str(form),
                outcome=outcome,
                predictor=claim.predictor,
                x=tuple(xs.tolist()),
                y=tuple(ys.tolist()),
                low=tuple((ys - spread).tolist()) if tested else None,
                high=tuple((ys + spread).tolist()) if tested else None,
                points=tuple(points),
            )
        )

    def series(self) -> tuple[Series, ...]:
        measures = (
            "attention_iou_adjusted", "attention_iou_published", "generalization_gap",
            "generalization_gap_published", "agreement", "conditional_mutual_information_bits",
            "mutual_information_published_nats", "test_accuracy", "affinity", "diversity",
        )  # fmt: skip
        made = []
        for measure in measures:
            for arm in self._arms:
                for strength in self._strengths:
                    values = 0.7 - 0.2 * strength + self._rng.normal(0, 0.02, self._seeds)
                    mean = float(values.mean())
                    made.append(
                        Series(
                            measure=measure,
                            arm=arm,
                            condition_id=self._condition(arm, strength),
                            strength=strength,
                            teacher_strengths=(strength, strength),
                            blocks=tuple(range(self._seeds)),
                            values=tuple(values.tolist()),
                            mean=mean,
                            interval=Interval(low=mean - 0.013, high=mean + 0.013, level=0.95)
                            if self._seeds >= 3
                            else None,
                        )
                    )
        return tuple(made)

    def _condition(self, arm: str, strength: float) -> int:
        places = list(self._strengths)
        return list(self._arms).index(arm) * len(places) + places.index(strength)

    def information(self) -> tuple[MutualInformation, ...]:
        return tuple(
            MutualInformation(
                arm=arm,
                condition_id=self._condition(arm, strength),
                strength=strength,
                teacher_strengths=(strength, strength),
                estimate=2.61 - 0.4 * strength,
                interval=Interval(low=2.5 - 0.4 * strength, high=2.7 - 0.4 * strength, level=0.95),
                ceiling=float(np.log2(10)),
                teacher_entropy=3.31,
                student_entropy=3.3,
                estimator="jackknife",
                images=897,
                classes=10,
                bias=0.0123,
            )
            for arm in self._arms
            for strength in self._strengths
        )
