"""Does augmentation act on overfitting through attention diversity? Read from H1 and H2b."""

from collections.abc import Sequence
from typing import Final

from analyze.answers import About, evidence_of, stream
from analyze.association_answers import Rows, rows_of
from analyze.conclude import Answered
from analyze.decide import MINIMUM_SEEDS
from analyze.hypotheses import H1, H2B, STRENGTH
from analyze.inference.mediation import MediationPaths, mediate
from analyze.questions import Question
from analyze.replicates import Replicates
from analyze.results import Evidence, Finding, Mediation, Rank, Verdict
from analyze.sentences import mediation_sentence

STATEMENT: Final = "Augmentation acts on the student's overfitting through attention diversity."
MEDIATION: Final = "M"
_SHARED: Final = (
    "Seeds share teachers, and tests of paths and effects count seeds: they are left out, and only "
    "the verdicts of both paths are read."
)
_UNTESTED: Final = frozenset({Verdict.DESCRIPTIVE, Verdict.NO_DATA})


def mediations_of(
    answered: Sequence[Answered],
    findings: Sequence[Finding],
    replicates: Replicates,
    *,
    study_seed: int,
) -> tuple[Mediation, ...]:
    """Read M in every arm and form of H2b; nothing where the study does not claim H1 too."""
    first_paths = [finding for finding in findings if finding.hypothesis == H1.id]
    if not first_paths:
        return ()
    return tuple(
        _mediation(
            each.question, _first_path(finding, first_paths), finding, replicates, study_seed
        )
        for each, finding in zip(answered, findings, strict=True)
        if finding.hypothesis == H2B.id
    )


def _first_path(path_b: Finding, first_paths: Sequence[Finding]) -> Finding:
    """Return H1 in the form of H2b and in its arm, or in the arm that stands for all."""
    same = [path for path in first_paths if path.form == path_b.form]
    return next((path for path in same if path.arm == path_b.arm), same[0])


def _mediation(
    question: Question, path_a: Finding, path_b: Finding, replicates: Replicates, study_seed: int
) -> Mediation:
    part = question.parts[0]
    rows = rows_of(question, part.predictor, part.outcome, replicates)
    shared = replicates.pools is not None
    untested = isinstance(rows, str) or path_b.n < MINIMUM_SEEDS or shared
    paths = None if untested else _paths(question, rows, study_seed)
    holds = _holds(path_a, path_b)
    return Mediation(
        statement=STATEMENT,
        arm=question.arm,
        form=question.form,
        deciding=question.deciding,
        holds=holds,
        sentence=mediation_sentence(
            holds=holds, verdicts=(path_a.verdict, path_b.verdict), paths=paths
        ),
        n=path_b.n,
        evidence=() if paths is None else _evidence(question, paths),
        caveats=(_SHARED,) if shared else () if paths is None else paths.caveats,
    )


def _paths(question: Question, rows: Rows | str, study_seed: int) -> MediationPaths | None:
    if isinstance(rows, str):
        return None
    rng = stream(study_seed, MEDIATION, question.arm, question.form)
    return mediate(rows.tables[0], rows.tables[1] if rows.halves else None, rng=rng)


def _holds(path_a: Finding, path_b: Finding) -> bool | None:
    verdicts = {path_a.verdict, path_b.verdict}
    # at level 0 nothing is read: between the looks of a declared rule
    untested = verdicts & _UNTESTED or 0.0 in (path_a.alpha, path_b.alpha)
    return None if untested else verdicts == {Verdict.SUPPORTED}


def _evidence(question: Question, paths: MediationPaths) -> tuple[Evidence, ...]:
    """Tie each path and effect to what it relates: a ends in the mediator, b begins there."""
    part = question.parts[0]

    def subject(outcome: str, predictor: str) -> About:
        return About(
            hypothesis=MEDIATION,
            arm=question.arm,
            form=question.form,
            outcome=outcome,
            predictor=predictor,
        )

    effects = [paths.acme, paths.ade, paths.total, paths.proportion, paths.rho]
    through = subject(part.outcome, STRENGTH)
    return (
        *evidence_of(through, [paths.joint], Rank.PRIMARY),
        *evidence_of(subject(part.predictor, STRENGTH), [paths.a], Rank.BESIDE),
        *evidence_of(subject(part.outcome, part.predictor), [paths.b], Rank.BESIDE),
        *evidence_of(through, effects, Rank.BESIDE),
    )
