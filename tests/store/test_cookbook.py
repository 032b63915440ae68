"""Every recipe of the cookbook against plain loops over the shards' rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from statistics import correlation, linear_regression, stdev

import numpy as np
import plain_measures
import polars as pl
import pytest
from plain_measures import Block
from synthetic import SyntheticStudy, make_study

from store.builder import record_analysis, record_estimates
from store.database import Reader, open_reader
from store.errors import StoreError
from store.frames import ESTIMATE, EVIDENCE, FINDING, SPECIFICATION
from store.recipes import recipe_named, recipes

TAU, METHOD = 0.4, "cam_label"
STRENGTHS = (0.0, 0.5, 1.0)
ARMS = ("fixed", "matched")
Rows = list[tuple[object, ...]]


class Plain:
    """All blocks' rows, and what follows from one model or one student at a time."""

    def __init__(self, study: SyntheticStudy) -> None:
        images = next(study.shards.glob("images-*.parquet"))
        self.blocks = [Block.read(s, images, tau=TAU, method=METHOD) for s in study.members]
        self.models = {m: row for block in self.blocks for m, row in block.models.items()}
        self.of = {m: block for block in self.blocks for m in block.models}
        self.labels = self.blocks[0].labels
        self.test = self.blocks[0].test["all"]

    def with_role(self, role: str, **values: object) -> list[int]:
        return sorted(
            m
            for m, row in self.models.items()
            if row["role"] == role and all(row[name] == value for name, value in values.items())
        )

    def said(self, model: int, image: int, view: str = "clean") -> int | None:
        logits = self.of[model].logits.get((model, view, image))
        return int(logits.argmax()) if logits is not None and np.isfinite(logits).all() else None

    def heard(self, student: int, image: int) -> int | None:
        every = [self.of[t].logits.get((t, "clean", image)) for t in self.teachers(student)]
        if any(logits is None or not np.isfinite(logits).all() for logits in every):
            return None
        return int(np.mean(every, axis=0).argmax())

    def teachers(self, student: int) -> list[int]:
        return self.models[student]["teacher_ids"]

    def accuracy(self, model: int) -> float | None:
        answers = [self.said(model, image) for image in self.test]
        if None in answers:
            return None
        return mean(a == self.labels[i] for a, i in zip(answers, self.test, strict=True))

    def gap(self, student: int) -> float | None:
        test = self.accuracy(student)
        if test is None:
            return None
        train = self.of[student].train_of(student)
        return mean(self.said(student, i) == self.labels[i] for i in train) - test

    def agreement(self, student: int) -> float | None:
        pairs = [(self.heard(student, i), self.said(student, i)) for i in self.test]
        return None if any(None in pair for pair in pairs) else mean(e == s for e, s in pairs)

    def ious(self, a: int, b: int, tau: float = TAU) -> dict[int, float | None]:
        """By image; empty where a model failed."""
        if any(self.models[m]["status"] == "failed" for m in (a, b)):
            return {}
        return plain_measures.ious(self.of[a], a, b, METHOD, self.test, tau)

    def overlap(self, a: int, b: int) -> float | None:
        return average(self.ious(a, b).values())

    def attention_iou(self, student: int) -> float | None:
        found = [self.overlap(*pair) for pair in combinations(self.teachers(student), 2)]
        return None if None in found else mean(found)

    def pairs(self, strength: float) -> list[tuple[int, int]]:
        """Pairs of teachers of one strength."""
        teams = {tuple(self.teachers(s)) for s in self.with_role("student")}
        return sorted(
            pair
            for team in teams
            if self.models[team[0]]["strength"] == strength
            for pair in combinations(team, 2)
        )

    def cells(self) -> Iterator[tuple[str, float, list[int]]]:
        for arm in ARMS:
            for strength in STRENGTHS:
                yield arm, strength, self.with_role("student", arm=arm, teacher_strength=strength)

    def answers(self, students: Iterable[int]) -> list[tuple[int, int, int]]:
        """Label, ensemble's class and student's class, of students with all answers finite."""
        return [
            (self.labels[i], e, s)
            for student in students
            if self.agreement(student) is not None
            for i in self.test
            if (e := self.heard(student, i)) is not None
            and (s := self.said(student, i)) is not None
        ]


def mean(values: Iterable[float | None]) -> float:
    return plain_measures.mean(value for value in values if value is not None)


def average(values: Iterable[float | None]) -> float | None:
    """As SQL's avg: of what is there."""
    there = [value for value in values if value is not None]
    return mean(there) if there else None


def present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def measures_by_dose(plain: Plain) -> Rows:
    return [
        (
            arm,
            strength,
            len(gaps := present(map(plain.gap, students))),
            average(gaps),
            stdev(gaps),
            average(map(plain.agreement, students)),
            average(map(plain.attention_iou, students)),
        )
        for arm, strength, students in plain.cells()
    ]


def slope_per_seed(plain: Plain) -> Rows:
    rows: Rows = []
    for arm in ARMS:
        for block in range(3):
            points = [
                (plain.models[s]["teacher_strength"], gap)
                for s in plain.with_role("student", arm=arm, block=block)
                if (gap := plain.gap(s)) is not None
            ]
            slope = linear_regression(*zip(*points, strict=True)).slope
            rows.append((arm, block, slope, len(points)))
    return rows


def strongest_against_none(plain: Plain) -> Rows:
    rows: Rows = []
    for arm in ARMS:
        for name, measure in (
            ("agreement", plain.agreement),
            ("attention_iou", plain.attention_iou),
            ("generalization_gap", plain.gap),
        ):
            differences = []
            for block in range(3):
                ends = [
                    measure(*plain.with_role("student", arm=arm, block=block, teacher_strength=s))
                    for s in (0.0, 1.0)
                ]
                if None not in ends:
                    differences.append(ends[1] - ends[0])
            below = sum(d < 0 for d in differences)
            rows.append((arm, name, len(differences), mean(differences), stdev(differences), below))
    return rows


def iou_at_another_threshold(plain: Plain) -> Rows:
    return [
        (
            strength,
            *(
                average(
                    iou for pair in plain.pairs(strength) for iou in plain.ious(*pair, tau).values()
                )
                for tau in (0.25, TAU, 0.6)
            ),
        )
        for strength in STRENGTHS
    ]


def iou_by_class(plain: Plain) -> Rows:
    rows: Rows = []
    for strength in STRENGTHS:
        for label in range(10):
            by_pair = [
                [iou for i, iou in plain.ious(*pair).items() if plain.labels[i] == label]
                for pair in plain.pairs(strength)
            ]
            undefined = sum(iou is None for ious in by_pair for iou in ious)
            rows.append((strength, label, average(map(average, by_pair)), undefined))
    return rows


def iou_by_image(plain: Plain) -> Rows:
    seen = {
        image: average(plain.ious(*pair).get(image) for pair in plain.pairs(1.0))
        for image in plain.test
    }
    ordered = sorted(seen.items(), key=lambda item: (item[1] is None, item[1], item[0]))
    return [(image, plain.labels[image], iou) for image, iou in ordered[:10]]


def images_disagreed_on(plain: Plain) -> Rows:
    counted: dict[int, list[bool]] = defaultdict(list)
    for strength in STRENGTHS:
        for a, b in plain.pairs(strength):
            for image in plain.test:
                said = plain.said(a, image), plain.said(b, image)
                if None not in said:
                    counted[image].append(said[0] != said[1])
    ordered = sorted(counted.items(), key=lambda item: (-mean(item[1]), item[0]))
    return [(image, plain.labels[image], mean(d), len(d)) for image, d in ordered[:10]]


def learning_curves(plain: Plain) -> Rows:
    rows: Rows = []
    for arm, strength, students in plain.cells():
        for epoch in range(1, 5):
            found = [r for s in students for r in plain.of[s].epochs[s] if r["epoch"] == epoch]
            rows.append(
                (
                    *(arm, strength, epoch, len(found)),
                    *(
                        average(r[name] for r in found)
                        for name in ("train_loss", "test_loss", "test_accuracy")
                    ),
                )
            )
    return rows


def best_against_last(plain: Plain) -> Rows:
    rows: Rows = []
    for arm, strength, students in plain.cells():
        reached = []
        for s in students:
            if plain.models[s]["status"] == "complete":
                tested = [r for r in plain.of[s].epochs[s] if r["test_accuracy"] is not None]
                last = max(tested, key=lambda r: r["epoch"])["test_accuracy"]
                reached.append((last, max(r["test_accuracy"] for r in tested)))
        last, best = (mean(values) for values in zip(*reached, strict=True))
        rows.append((arm, strength, last, best, mean(b - a for a, b in reached)))
    return rows


def student_confusion(plain: Plain) -> Rows:
    counted: Counter[tuple[str, float, int, int]] = Counter()
    for arm, strength, students in plain.cells():
        counted.update((arm, strength, e, s) for _, e, s in plain.answers(students) if e != s)
    return [(*key, n) for key, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


def who_is_right(plain: Plain) -> Rows:
    rows: Rows = []
    for arm, strength, students in plain.cells():
        answers = plain.answers(students)
        counted = Counter((e == y, s == y) for y, e, s in answers)
        order = ((True, True), (True, False), (False, True), (False, False))
        rows.append((arm, strength, *(counted[key] / len(answers) for key in order)))
    return rows


def shared_mistakes(plain: Plain) -> Rows:
    rows: Rows = []
    for arm, strength, students in plain.cells():
        wrong = [(e, s) for y, e, s in plain.answers(students) if y not in (e, s)]
        rows.append((arm, strength, len(wrong), mean(e == s for e, s in wrong)))
    return rows


def answers_by_label(plain: Plain, role: str) -> Counter[tuple[int, int]]:
    return Counter(
        (plain.labels[i], said)
        for m in plain.with_role(role)
        for i in plain.test
        if (said := plain.said(m, i)) is not None
    )


def frequent_mistakes(plain: Plain) -> Rows:
    counted = answers_by_label(plain, "student")
    of_class = Counter({y: sum(n for (x, _), n in counted.items() if x == y) for y in range(10)})
    wrong = sorted((-n, y, s) for (y, s), n in counted.items() if y != s)[:10]
    return [(y, s, -n, -n / of_class[y]) for n, y, s in wrong]


def accuracy_by_class(plain: Plain) -> Rows:
    rows: Rows = []
    for role in ("student", "teacher"):
        counted = answers_by_label(plain, role)
        for label in range(10):
            total = sum(n for (y, _), n in counted.items() if y == label)
            rows.append((role, label, counted[label, label] / total, total))
    return rows


def hardest_images(plain: Plain) -> Rows:
    wrong: dict[int, list[bool]] = {
        i: [said != plain.labels[i] for m in plain.models if (said := plain.said(m, i)) is not None]
        for i in plain.test
    }
    ordered = sorted(wrong.items(), key=lambda item: (-mean(item[1]), item[0]))[:10]
    return [(i, plain.labels[i], mean(w), len(w)) for i, w in ordered]


def ensembles_against_teachers(plain: Plain) -> Rows:
    rows: Rows = []
    for strength in STRENGTHS:
        found = []
        for s in plain.with_role("student", arm="fixed", teacher_strength=strength):
            alone = [plain.accuracy(t) for t in plain.teachers(s)]
            if None not in alone:
                together = mean(plain.heard(s, i) == plain.labels[i] for i in plain.test)
                found.append((together, mean(alone), max(present(alone))))
        rows.append(
            (2, strength, len(found), *(mean(values) for values in zip(*found, strict=True)))
        )
    return rows


def diverged_seeds(plain: Plain) -> Rows:
    return [
        (1, 1, 2, 0, ["the loss is not finite in epoch 3"]),
        (2, 1, 0, 1, ["the logits are not finite"]),
    ]


def time_and_energy(plain: Plain) -> Rows:
    rows: Rows = []
    for condition, (arm, strength, students) in enumerate(plain.cells()):
        teachers = {t for s in students for t in plain.teachers(s)}
        hours = [
            sum(plain.models[m]["train_seconds"] for m in models) / 3600
            for models in (students, teachers)
        ]
        rows.append(
            (condition, arm, strength, [strength] * 2, *hours, *(65 * h / 1000 for h in hours))
        )
    return rows


def time_of_the_study(plain: Plain) -> Rows:
    # blocks 0 and 2 ran on node-0; every model took 3 s
    size = len(plain.blocks[0].models)
    return [
        (f"node-{node}", "drawn", None, "2.13.0", blocks, blocks * size, blocks * size * 3 / 3600)
        for node, blocks in ((0, 2), (1, 1))
    ]


def published_against_sound(plain: Plain) -> Rows:
    rows: Rows = []
    for arm, strength, students in plain.cells():
        gaps, overlaps = [], []
        for s in students:
            if plain.models[s]["status"] == "complete":
                epochs, teachers = plain.of[s].epochs[s], plain.teachers(s)
                best = max(r["test_accuracy"] for r in epochs if r["test_accuracy"] is not None)
                gaps.append(max(epochs, key=lambda r: r["epoch"])["train_accuracy"] - best)
                published = plain_measures.published(
                    plain.of[s],
                    s,
                    teachers,
                    list(combinations(teachers, 2)),
                    plain.models[s]["view"],
                    plain.test,
                )
                overlaps.append(published["attention_iou_published"])
        sound = average(map(plain.gap, students)), average(map(plain.attention_iou, students))
        rows.append((arm, strength, sound[0], mean(gaps), sound[1], mean(overlaps)))
    return rows


def calibration_curve(plain: Plain) -> Rows:
    rows: Rows = []
    for arm in ARMS:
        bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
        for s in plain.with_role("student", arm=arm, status="complete"):
            for i in plain.test:
                sure = plain_measures.softmax(plain.of[s].logits[s, "clean", i]).max()
                right = plain.said(s, i) == plain.labels[i]
                bins[min(math.ceil(10 * sure), 10)].append((float(sure), right))
        for tenth, found in sorted(bins.items()):
            sure, right = zip(*found, strict=True)
            rows.append((arm, tenth, len(found), mean(sure), mean(right)))
    return rows


def teachers_under_augmentation(plain: Plain) -> Rows:
    found: dict[tuple[float, str], list[tuple[int, bool]]] = defaultdict(list)
    tests = set(plain.test)
    for m in plain.with_role("teacher"):
        for of, view, i in plain.of[m].logits:
            if of == m and i in tests:
                said = plain.said(m, i, view)
                key = plain.models[m]["strength"], view
                found[key] += [] if said is None else [(m, said == plain.labels[i])]
    return [
        (*key, len({m for m, _ in seen}), mean(right for _, right in seen))
        for key, seen in sorted(found.items())
    ]


def features_against_attention(plain: Plain) -> Rows:
    rows: Rows = []
    for strength in STRENGTHS:
        both = [
            (cka, iou)
            for pair in plain.pairs(strength)
            if (cka := plain.of[pair[0]].cka[pair]) is not None
            and (iou := plain.overlap(*pair)) is not None
        ]
        cka, iou = zip(*both, strict=True)
        rows.append((strength, len(both), mean(cka), mean(iou), correlation(cka, iou)))
    return rows


def undefined(plain: Plain) -> Rows:
    no_map, by_model, by_logits = (defaultdict(Counter) for _ in range(3))
    for block in plain.blocks:
        for a, b in block.cka:
            kind = "" if block.models[b]["role"] == "teacher" else "_teacher_student"
            for i, iou in plain.ious(a, b).items():
                if iou is None:
                    # drawn maps are undefined or have a peak: no mask is empty
                    assert None in (block.maps[m, "clean", METHOD, i] for m in (a, b))
                    no_map[f"attention_iou{kind}"][a, b] += 1
        for m, row in block.models.items():
            if row["status"] == "complete":
                for i in plain.test:
                    by_model["mask_area"][m] += block.maps[m, "clean", METHOD, i] is None
                    by_logits["test_accuracy"][m] += plain.said(m, i) is None
    reasons = (
        ("the map of one or both is undefined", no_map),
        ("the map is undefined", by_model),
        ("the logits are not finite", by_logits),
    )
    return sorted(
        (name, reason, len(there), sum(there), max(there))
        for reason, found in reasons
        for name, counts in found.items()
        if (there := [n for n in counts.values() if n])
    )


def by_hand(name: str) -> Callable[[Plain], Rows]:
    return lambda _: HAND[name]


def equal_weights(plain: Plain) -> Rows:
    hashes = [row["weights_hash"] for row in plain.models.values() if row["weights_hash"]]
    assert len(hashes) == len(set(hashes))
    return []


HAND: dict[str, Rows] = {
    "findings-history": [
        (3, "H1", "attention_iou_adjusted", -0.25, None, "undecided", None),
        (3, "H1", "attention_iou_adjusted", -0.25, 0.01, "supported", "undecided"),
    ],
    "evidence-behind-a-verdict": [
        ("primary", "one slope per seed", "slope", -0.25, float("-inf"), 0.0, 0.04, 3, "supported"),
        ("beside", "signs", "share", 0.75, None, None, None, 3, "supported"),
    ],
    "choices-a-finding-hangs-on": [
        ("H1", "fixed", "map", "cam_label", 3, 2, 1, 0.5),
        ("H1", "fixed", "threshold", "0.4", 2, 2, 1, 1.25),
        ("H1", "fixed", "threshold", "0.6", 1, 0, 0, -1.0),
    ],
    "estimates-and-their-bias": [
        ("adjusted_mutual_information", "exact", 1, 1, None, None),
        ("mutual_information_bits", "jackknife", 2, 0, 1.5, 0.25),
    ],
}

EXPECTED: dict[str, Callable[[Plain], Rows]] = {
    "measures-by-dose": measures_by_dose,
    "slope-per-seed": slope_per_seed,
    "strongest-against-none": strongest_against_none,
    "attention-iou-at-another-threshold": iou_at_another_threshold,
    "attention-iou-by-class": iou_by_class,
    "attention-iou-by-image": iou_by_image,
    "images-teachers-disagree-on": images_disagreed_on,
    "learning-curves": learning_curves,
    "best-epoch-against-last": best_against_last,
    "confusion-of-student-and-ensemble": student_confusion,
    "who-is-right": who_is_right,
    "shared-mistakes": shared_mistakes,
    "frequent-mistakes": frequent_mistakes,
    "accuracy-by-class": accuracy_by_class,
    "hardest-images": hardest_images,
    "ensembles-against-single-teachers": ensembles_against_teachers,
    "diverged-seeds": diverged_seeds,
    "time-and-energy-by-condition": time_and_energy,
    "time-of-the-study": time_of_the_study,
    "findings-history": by_hand("findings-history"),
    "evidence-behind-a-verdict": by_hand("evidence-behind-a-verdict"),
    "published-against-sound": published_against_sound,
    "calibration-curve": calibration_curve,
    "teachers-under-augmentation": teachers_under_augmentation,
    "features-against-attention": features_against_attention,
    "where-measures-are-undefined": undefined,
    "estimates-and-their-bias": by_hand("estimates-and-their-bias"),
    "equal-weights": equal_weights,
    "choices-a-finding-hangs-on": by_hand("choices-a-finding-hangs-on"),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    # a teacher without augmentation fails in seed 1, another says NaN once in seed 2
    made = make_study(
        tmp_path_factory.mktemp("study"),
        seeds=3,
        test_images=40,
        train_images=20,
        failed=[(1, 0)],
        not_finite=[(2, 3)],
    )
    record_estimates(made.store, estimates())
    for verdict, p_holm in (("undecided", None), ("supported", 0.01)):
        record_analysis(
            made.store,
            evidence=evidence(),
            findings=findings(verdict, p_holm),
            specifications=specifications(),
        )
    return made


@pytest.fixture(scope="module")
def plain(study: SyntheticStudy) -> Plain:
    return Plain(study)


@pytest.fixture(scope="module")
def reader(study: SyntheticStudy) -> Iterator[Reader]:
    with open_reader(study.store) as opened:
        yield opened


def estimates() -> pl.DataFrame:
    rows = [
        (6, "all", "mutual_information_bits", 1.0, 0.5, "jackknife", None),
        (7, "all", "mutual_information_bits", 2.0, 0.0, "jackknife", None),
        (7, "a", "mutual_information_bits", 9.0, 9.0, "jackknife", None),
        (8, "all", "adjusted_mutual_information", None, None, "exact", "a model failed"),
    ]
    return pl.DataFrame(rows, schema=ESTIMATE.schema, orient="row")


def specifications() -> pl.DataFrame:
    """Three that count, one that does not and one without an effect."""
    rows = [
        ("0.6", "counted", -1.0, 0.01),
        ("0.4", "counted", 0.5, 0.2),
        ("0.4", "counted", 2.0, 0.001),
        ("0.4", "as published", 9.0, 0.001),
        ("0.4", "counted", None, None),
    ]
    declared = {
        "hypothesis": "H1",
        "arm": "fixed",
        "choices": ["map", "threshold"],
        "deciding": False,
        "outcome": "attention_iou_adjusted",
        "predictor": "teacher_strength",
        "test": "per_seed_slope_t",
        "unit": "index per unit of strength",
        "n": 3,
    }
    return pl.DataFrame(
        [
            dict.fromkeys(SPECIFICATION.schema)
            | declared
            | {
                "specification": place,
                "options": ["cam_label", threshold],
                "standing": standing,
                "standardized": effect,
                "p_value": p_value,
            }
            for place, (threshold, standing, effect, p_value) in enumerate(rows)
        ],
        schema=SPECIFICATION.schema,
    )


CLAIM = {
    "hypothesis": "H1",
    "arm": "fixed",
    "form": "plain",
    "outcome": "attention_iou_adjusted",
    "predictor": "teacher_strength",
}


def evidence() -> pl.DataFrame:
    common = dict.fromkeys(EVIDENCE.schema) | CLAIM | {"unit": "index", "n": 3, "rows": 9}
    primary = {
        "test": "z",
        "rank": "primary",
        "method": "one slope per seed",
        "value_name": "slope",
        "estimate": -0.25,
        "interval_low": float("-inf"),
        "interval_high": 0.0,
        "p_value": 0.04,
        "caveats": [],
    }
    beside = {
        "test": "a",
        "rank": "beside",
        "method": "signs",
        "value_name": "share",
        "estimate": 0.75,
        "caveats": [],
    }
    # of another claim: not to be shown
    other = primary | {"hypothesis": "H2a"}
    rows = [common | row for row in (beside, primary, other)]
    return pl.DataFrame(rows, schema=EVIDENCE.schema)


def findings(verdict: str, p_holm: float | None) -> pl.DataFrame:
    common = dict.fromkeys(FINDING.schema) | CLAIM
    row = {
        "deciding": True,
        "as_published": False,
        "verdict": verdict,
        "sentence": "It falls.",
        "n": 3,
        "p_holm": p_holm,
        "outcome_verdict": verdict,
        "estimate": -0.25,
        "unit": "index",
        "size_uncertain": False,
        "caveats": [],
    }
    rows = [common | row, common | row | {"arm": "matched", "deciding": False}]
    return pl.DataFrame(rows, schema=FINDING.schema)


def same(found: object, expected: object) -> bool:
    if isinstance(found, float) and isinstance(expected, int | float):
        return found == expected or math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    return found == expected


def assert_rows(found: pl.DataFrame, expected: Sequence[tuple[object, ...]]) -> None:
    assert found.height == len(expected)
    for row, wanted in zip(found.iter_rows(), expected, strict=True):
        assert len(row) == len(wanted)
        assert all(map(same, row, wanted)), (row, wanted)


def test_every_recipe_is_checked():
    assert [recipe.name for recipe in recipes()] == list(EXPECTED)
    assert [recipe.number for recipe in recipes()] == [*range(1, len(EXPECTED) + 1)]
    assert len(EXPECTED) >= 20


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recipe_answers_what_plain_loops_give(name: str, reader: Reader, plain: Plain):
    found = reader.frame(recipe_named(name).sql)
    # when an analysis was made is the machine's to say
    assert_rows(found.select(pl.exclude("analysed_at")), EXPECTED[name](plain))


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_a_recipe_says_what_it_asks_and_gives(recipe):
    assert recipe.question.endswith("?")
    assert recipe.returns.endswith(".")
    assert recipe.sql.endswith(";")
    assert recipe.sql.count(";") == 1


def test_a_recipe_is_found_by_name_and_number_and_guessed_at():
    assert recipe_named("7") is recipe_named("07") is recipe_named("images-teachers-disagree-on")
    with pytest.raises(StoreError, match=r"slope-per-sed: no such recipe; did you mean slope-per"):
        recipe_named("slope-per-sed")
    with pytest.raises(StoreError, match=r"cookbook lists them"):
        recipe_named("zzz")


def test_recipes_are_files_that_other_programs_can_run(reader: Reader):
    folder = Path(__file__).parents[2] / "store" / "cookbook"
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{r.number:02d}-{r.name}.sql" for r in recipes()]
    whole = reader.frame(files[0].read_text())
    assert whole.equals(reader.frame(recipes()[0].sql))
