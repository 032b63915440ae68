"""From what the store holds to everything that an analysis says: no paths, no database."""

from collections.abc import Sequence

from analyze.association_answers import answer_association
from analyze.calibration import calibrations_of
from analyze.caveats import study_caveats, with_disagreements
from analyze.conclude import Answered, finding_of, levels_of
from analyze.contrasts import OUTCOMES, contrasts_of
from analyze.decide import ALPHA, MINIMUM_SEEDS
from analyze.deviations import deviations_of
from analyze.distillation import distillation_effects
from analyze.image_answers import with_new_images
from analyze.looks import look_at
from analyze.mediations import mediations_of
from analyze.metrics.image_draws import ImageDraws
from analyze.multiverse import curves_of
from analyze.pictures import information_of, measures_to_draw, series_of
from analyze.questions import Question, questions_of
from analyze.replicates import Replicates, Stored, missing_counts, select_replicates
from analyze.results import Results, SequentialLook
from analyze.secondary import adjusted_together, secondary_of
from analyze.trend_answers import answer_trend
from store.conditions import Factorial
from store.design import Design


def assemble(design: Design, stored: Stored) -> Results:
    """Answer every question of a study from its stored replicates.

    Raises StudyError where a claim's SESOI does not name its outcomes.
    """
    questions = questions_of(design)
    replicates = select_replicates(
        stored,
        failed_runs=design.failed_runs,
        seeds_declared=design.seeds,
        pools=design.shared_teachers.pools if design.shared_teachers else None,
    )
    answered = tuple(
        _answer(question, _asked(question, replicates), design, stored.image_draws)
        for question in questions
    )
    look = _look(design, questions, replicates)
    levels = levels_of(answered, look)
    findings = tuple(
        finding_of(
            each, levels, _asked(each.question, replicates), study_seed=design.study_seed, look=look
        )
        for each in answered
    )
    mediation = mediations_of(answered, findings, replicates, study_seed=design.study_seed)
    drawn = measures_to_draw(questions, OUTCOMES if isinstance(design.design, Factorial) else ())
    secondary, distillation = adjusted_together(
        secondary_of(questions, replicates, design),
        distillation_effects(replicates, study_seed=design.study_seed),
    )
    tested = replicates.counts.seeds_analyzed >= MINIMUM_SEEDS
    return Results(
        format_version=1,
        study=design.study,
        title=design.title,
        study_hash=design.study_hash(),
        kind="inferential" if tested else "descriptive",
        alpha=ALPHA,
        counts=replicates.counts,
        findings=with_disagreements(findings),
        series=series_of(replicates.students, drawn, replicates.pools),
        fits=tuple(a.fit for each in answered for a in each.answers if a.fit is not None),
        mutual_information=information_of(
            replicates.students,
            stored.estimates,
            stored.contingency,
            images=stored.images,
            classes=stored.classes,
            pools=replicates.pools,
        ),
        missing=missing_counts(stored, drawn),
        caveats=study_caveats(design, replicates.counts, questions, findings, look),
        mediation=mediation,
        secondary=secondary,
        sequential=look,
        multiverse=tuple(
            curve
            for question in questions
            for asked in [_asked(question, replicates)]
            if asked.pools is None
            for curve in curves_of(
                [question], asked, stored.variants, design=design, classes=stored.classes
            )
        ),
        contrasts=contrasts_of(replicates, design),
        distillation=distillation,
        deviations=deviations_of(design, replicates.counts, findings, stored.history, look),
        calibration=calibrations_of(findings, look, mediation=bool(mediation)),
    )


def _asked(question: Question, replicates: Replicates) -> Replicates:
    """Return the replicates that a question is about: seeds, or pools of teachers they share."""
    return replicates if question.hypothesis.needs_students else replicates.of_teachers()


def _look(
    design: Design, questions: Sequence[Question], replicates: Replicates
) -> SequentialLook | None:
    """Find the look of a study that declares a rule: by blocks stored, read by those analyzed."""
    looks = design.adding_seeds.looks
    if not looks:
        return None
    analyzed = replicates.students["block"].unique()
    return look_at(
        looks,
        [int((analyzed < look).sum()) for look in looks if look <= replicates.counts.seeds_stored],
        seeds=replicates.counts.seeds_stored,
        family=sum(each.deciding and each.hypothesis.primary for each in questions),
    )


def _answer(
    question: Question, replicates: Replicates, design: Design, draws: ImageDraws | None
) -> Answered:
    tests = answer_trend if question.is_trend else answer_association
    return Answered(
        question=question,
        answers=tuple(
            with_new_images(
                question,
                tests(question, part, replicates, study_seed=design.study_seed),
                replicates,
                draws,
            )
            for part in question.parts
        ),
    )
