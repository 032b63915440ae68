"""From what the store holds to everything that an analysis says: no paths, no database."""

from analyze.association_answers import answer_association
from analyze.caveats import study_caveats, with_disagreements
from analyze.conclude import Answered, finding_of, levels_of
from analyze.decide import ALPHA, MINIMUM_SEEDS
from analyze.mediations import mediations_of
from analyze.multiverse import curves_of
from analyze.pictures import information_of, measures_to_draw, series_of
from analyze.questions import Question, questions_of
from analyze.replicates import Replicates, Stored, missing_counts, select_replicates
from analyze.results import Results
from analyze.trend_answers import answer_trend
from store.design import Design


def assemble(design: Design, stored: Stored) -> Results:
    """Answer every question of a study from its stored replicates.

    Raises StudyError where a claim's SESOI does not name its outcomes.
    """
    questions = questions_of(design)
    replicates = select_replicates(
        stored, failed_runs=design.failed_runs, seeds_declared=design.seeds
    )
    answered = tuple(_answer(question, replicates, design) for question in questions)
    levels = levels_of(answered)
    findings = tuple(
        finding_of(each, levels, replicates, study_seed=design.study_seed) for each in answered
    )
    drawn = measures_to_draw(questions)
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
        series=series_of(replicates.students, drawn),
        fits=tuple(a.fit for each in answered for a in each.answers if a.fit is not None),
        mutual_information=information_of(
            replicates.students,
            stored.estimates,
            stored.contingency,
            images=stored.images,
            classes=stored.classes,
        ),
        missing=missing_counts(stored, drawn),
        caveats=study_caveats(design, replicates.counts, questions, findings),
        mediation=mediations_of(answered, findings, replicates, study_seed=design.study_seed),
        multiverse=curves_of(
            questions,
            replicates,
            stored.variants,
            design=design,
            classes=stored.classes,
        ),
    )


def _answer(question: Question, replicates: Replicates, design: Design) -> Answered:
    tests = answer_trend if question.is_trend else answer_association
    return Answered(
        question=question,
        answers=tuple(
            tests(question, part, replicates, study_seed=design.study_seed)
            for part in question.parts
        ),
    )
