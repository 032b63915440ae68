"""The data dictionary: every measure of the view ``measures``, defined once.

COMMENTs in the store and docs/measures.md are generated from here, and the report takes
its labels, units and explanations from here. Notation: c_m the predicted label and p_m the
predicted probabilities of model m; E the ensemble of a student's teachers (mean of their
logits), S the student, T a teacher, y an image's label.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Subject(StrEnum):
    """Whose measure it is."""

    STUDENT = "student"
    ENSEMBLE_STUDENT = "ensemble and student"
    TEACHER_STUDENT = "teachers and student, mean over teachers"
    TEACHER_TEACHER = "pairs of teachers, mean over pairs"
    TEACHERS = "teachers, mean over teachers"
    LEVEL = "augmentation level of the teachers"


class Engine(StrEnum):
    """Where the measure is computed: in a view, or by an estimator in ``analyze.metrics``."""

    SQL = "sql"
    ESTIMATOR = "estimator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One column of ``measures``.

    by_half: also taken on each half of the test images (view ``measures_by_half``).
    published: name of the column that holds the published study's computation of it.
    differs: how the published form differs and why that can mislead.
    """

    name: str
    title: str
    definition: str
    unit: str
    range: str
    subject: Subject
    engine: Engine = Engine.SQL
    by_half: bool = True
    source: str = ""
    published: str | None = None
    differs: str = ""
    null: str = "a model failed or its logits are not finite"

    @property
    def of_teachers(self) -> bool:
        """Whether it is of teachers alone: the same for every student of the same teachers."""
        return self.subject in (Subject.TEACHER_TEACHER, Subject.TEACHERS, Subject.LEVEL)


_GUO: Final = "Guo et al. 2024, computation of the published study"
_BATCH: Final = 128
PUBLISHED_BATCH: Final = _BATCH
"""Images per batch in the published computations, in order of image_id."""

MEASURES: Final = tuple(
    sorted(
        (
            Measure(
                name="test_accuracy",
                title="test accuracy",
                definition="Mean of 1[c_S = y] over the clean test images, at the last epoch.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                published="test_accuracy_published",
                differs="The published form is the best epoch's test accuracy: selection on the "
                "test set, biased up.",
            ),
            Measure(
                name="train_accuracy",
                title="clean training accuracy",
                definition="Mean of 1[c_S = y] over the clean training images, in eval mode, at "
                "the last epoch.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                published="train_accuracy_published",
                differs="The published form is the running accuracy on augmented images in train "
                "mode: stronger augmentation lowers it mechanically.",
            ),
            Measure(
                name="generalization_gap",
                title="generalization gap",
                definition="Clean training accuracy minus test accuracy.",
                unit="fraction",
                range="-1 to 1",
                subject=Subject.STUDENT,
                published="generalization_gap_published",
                differs="The published form takes the running training accuracy on augmented "
                "images minus the best epoch's test accuracy: stronger augmentation lowers it "
                "mechanically, with no change in overfitting.",
            ),
            Measure(
                name="loss_gap_nats",
                title="loss gap",
                definition="Test cross-entropy minus clean training cross-entropy.",
                unit="nats",
                range="any",
                subject=Subject.STUDENT,
            ),
            Measure(
                name="entropy_nats",
                title="predictive entropy",
                definition="Mean entropy of p_S over the clean test images.",
                unit="nats",
                range="0 to ln K",
                subject=Subject.STUDENT,
                published="entropy_published_nats",
                differs="The published form is taken on augmented test images and averaged over "
                f"batches of {_BATCH}.",
            ),
            Measure(
                name="ece",
                title="expected calibration error",
                definition="Sum over 15 equal-width confidence bins of the bin's share of images "
                "times |accuracy - mean confidence|.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                source="Guo et al. 2017",
                published="ece_published",
                differs="The published form is the unweighted mean over 10 equal-width bins, "
                "empty bins counting as 0: it depends on how many bins are empty.",
            ),
            Measure(
                name="ece_adaptive",
                title="expected calibration error, equal-mass bins",
                definition="As ece, over 15 bins of equal numbers of images (fewer where "
                "there are fewer images).",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                source="Nixon et al. 2019",
            ),
            Measure(
                name="mask_area",
                title="attention mask area",
                definition="Mean share of the grid that is on in the student's attention mask.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                null="every map is undefined",
            ),
            Measure(
                name="mask_area_teachers",
                title="attention mask area of the teachers",
                definition="Mean share of the grid that is on in the teachers' attention masks.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHERS,
                null="every map is undefined",
            ),
            Measure(
                name="agreement",
                title="top-1 agreement",
                definition="Mean of 1[c_S = c_E] over the clean test images.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.ENSEMBLE_STUDENT,
                source="Stanton et al. 2021",
                published="agreement_published",
                differs="The published form is taken on augmented test images and averaged over "
                f"batches of {_BATCH}: it changes with the images' difficulty.",
            ),
            Measure(
                name="error_consistency",
                title="error consistency",
                definition="Cohen's kappa of correct or incorrect of E and S: agreement beyond "
                "what their accuracies force.",
                unit="kappa",
                range="-1 to 1",
                subject=Subject.ENSEMBLE_STUDENT,
                source="Geirhos et al. 2020",
                null="one of the two is always right or always wrong (0/0)",
            ),
            Measure(
                name="predictive_kl_nats",
                title="predictive divergence",
                definition="Mean KL(p_E || p_S) over the clean test images.",
                unit="nats",
                range="0 or more",
                subject=Subject.ENSEMBLE_STUDENT,
                published="predictive_kl_published_nats",
                differs="The published form is the other direction, KL(p_S || p_E), times 10, on "
                f"augmented images, averaged over batches of {_BATCH}.",
            ),
            Measure(
                name="mutual_information_bits",
                title="mutual information",
                definition="I(c_E; c_S) over all test images from their K x K table, corrected "
                "for bias (jackknife up to 20 classes, Chao-Shen above). Never clamped.",
                unit="bits",
                range="about 0 to log2 K",
                subject=Subject.ENSEMBLE_STUDENT,
                engine=Engine.ESTIMATOR,
                source="Miller 1955; Chao and Shen 2003",
                published="mutual_information_published_nats",
                differs=f"The published form is the plug-in estimate per batch of {_BATCH} "
                "augmented images, averaged: for independent labellings of 100 classes it reads "
                "about 3.5 nats where the truth is 0.",
            ),
            Measure(
                name="mutual_information_second_bits",
                title="mutual information, second estimator",
                definition="As mutual_information_bits, by the estimator that stands beside it: "
                "Miller-Madow up to 20 classes, the jackknife above. Where the two differ, so "
                "does what the bias correction can be trusted with.",
                unit="bits",
                range="about 0 to log2 K",
                subject=Subject.ENSEMBLE_STUDENT,
                engine=Engine.ESTIMATOR,
                source="Miller 1955",
            ),
            Measure(
                name="conditional_mutual_information_bits",
                title="mutual information given the label",
                definition="I(c_E; c_S | y), minus its mean under permutation within classes: "
                "dependence beyond both being right.",
                unit="bits",
                range="about 0 to log2 K",
                subject=Subject.ENSEMBLE_STUDENT,
                engine=Engine.ESTIMATOR,
                published="mutual_information_published_nats",
                differs="The published study has no conditional form; its mutual information "
                "mostly restates accuracy, and is biased up by small batches.",
            ),
            Measure(
                name="adjusted_mutual_information",
                title="adjusted mutual information",
                definition="Mutual information of c_E and c_S above its expectation at fixed "
                "margins, over the mean of their entropies above it. An index, not bits.",
                unit="index",
                range="at most 1",
                subject=Subject.ENSEMBLE_STUDENT,
                engine=Engine.ESTIMATOR,
                source="Vinh et al. 2010",
            ),
            Measure(
                name="attention_iou",
                title="teachers' attention IoU",
                definition="|M1 and M2| / |M1 or M2| of two teachers' attention masks, per test "
                "image, then the mean over images and teacher pairs.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHER_TEACHER,
                published="attention_iou_published",
                differs="The published form pools intersections and unions over batches of "
                f"{_BATCH} augmented images, whose augmentation differs between conditions, and "
                "takes the class activation map summed over all classes. Neither loss moves the "
                "sum of a head's weights over classes (softmax does not see it), so that map is "
                "close to a random projection of the features. Transformers have no such map: "
                "rollout stands for it.",
                null="one teacher only, or no image where either attends anywhere (0/0)",
            ),
            Measure(
                name="attention_iou_adjusted",
                title="teachers' attention IoU above chance",
                definition="(IoU - IoU0) / (1 - IoU0), IoU0 the same two teachers' mean IoU over "
                "mismatched images (i, j != i): what mask size and centre bias alone give.",
                unit="index",
                range="at most 1",
                subject=Subject.TEACHER_TEACHER,
                engine=Engine.ESTIMATOR,
                published="attention_iou_published",
                differs="The published form has no correction for chance (bigger masks overlap "
                f"more), pools over batches of {_BATCH} augmented images and takes the class "
                "activation map summed over all classes, which the losses leave close to a random "
                "projection of the features. Transformers have no such map: rollout stands for it.",
                null="one teacher only, no image with a mask, or IoU0 = 1",
            ),
            Measure(
                name="attention_rank_correlation",
                title="teachers' attention rank correlation",
                definition="Mean over test images of Spearman's rho of two teachers' attention "
                "maps, mean over pairs. Needs no threshold.",
                unit="rho",
                range="-1 to 1",
                subject=Subject.TEACHER_TEACHER,
                engine=Engine.ESTIMATOR,
                null="one teacher only, or every map constant",
            ),
            Measure(
                name="attention_iou_teacher_student",
                title="teacher-student attention IoU",
                definition="As attention_iou, between each teacher and the student.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHER_STUDENT,
                null="no image where either attends anywhere (0/0)",
            ),
            Measure(
                name="attention_iou_adjusted_teacher_student",
                title="teacher-student attention IoU above chance",
                definition="As attention_iou_adjusted, between each teacher and the student.",
                unit="index",
                range="at most 1",
                subject=Subject.TEACHER_STUDENT,
                engine=Engine.ESTIMATOR,
                null="no image with a mask, or IoU0 = 1",
            ),
            Measure(
                name="attention_rank_correlation_teacher_student",
                title="teacher-student attention rank correlation",
                definition="As attention_rank_correlation, between each teacher and the student.",
                unit="rho",
                range="-1 to 1",
                subject=Subject.TEACHER_STUDENT,
                engine=Engine.ESTIMATOR,
                null="every map constant",
            ),
            Measure(
                name="agreement_teacher_teacher",
                title="agreement between teachers",
                definition="Mean of 1[c_T1 = c_T2] over the clean test images and teacher pairs.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHER_TEACHER,
                null="one teacher only",
            ),
            Measure(
                name="cka",
                title="teachers' feature similarity (CKA)",
                definition="Linear centred kernel alignment of two teachers' penultimate "
                "features, unbiased HSIC estimator, mean over pairs.",
                unit="index",
                range="at most 1",
                subject=Subject.TEACHER_TEACHER,
                by_half=False,
                source="Kornblith et al. 2019; Song et al. 2012",
                null="one teacher only, or features that do not vary",
            ),
            Measure(
                name="cka_teacher_student",
                title="teacher-student feature similarity (CKA)",
                definition="As cka, between each teacher and the student.",
                unit="index",
                range="at most 1",
                subject=Subject.TEACHER_STUDENT,
                by_half=False,
                source="Kornblith et al. 2019; Song et al. 2012",
                null="features that do not vary",
            ),
            Measure(
                name="test_accuracy_teachers",
                title="test accuracy of the teachers",
                definition="Mean of 1[c_T = y] over the clean test images, mean over teachers.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHERS,
            ),
            Measure(
                name="test_accuracy_ensemble",
                title="test accuracy of the ensemble",
                definition="Mean of 1[c_E = y] over the clean test images.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHERS,
            ),
            Measure(
                name="affinity",
                title="affinity of the augmentation",
                definition="Accuracy of the block's clean-trained teachers on the test images "
                "augmented at the teachers' strength, over their accuracy on clean ones: how far "
                "the augmentation moves the data.",
                unit="ratio",
                range="0 or more",
                subject=Subject.LEVEL,
                by_half=False,
                source="Gontijo-Lopes et al. 2021",
                published="affinity_published",
                differs="The published form takes the same ratio of each trained teacher, itself "
                "trained with the augmentation.",
                null="no teacher was trained without augmentation",
            ),
            Measure(
                name="diversity",
                title="diversity of the augmentation",
                definition="Final training loss of the teachers at their strength, over that of "
                "the block's teachers trained without augmentation.",
                unit="ratio",
                range="0 or more",
                subject=Subject.LEVEL,
                by_half=False,
                source="Gontijo-Lopes et al. 2021",
                null="no teacher was trained without augmentation",
            ),
            Measure(
                name="test_accuracy_published",
                title="test accuracy, as published",
                definition="Highest test accuracy over the epochs that were evaluated.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="train_accuracy_published",
                title="training accuracy, as published",
                definition="Running accuracy of the last epoch, on augmented images in train mode.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="generalization_gap_published",
                title="generalization gap, as published",
                definition="train_accuracy_published minus test_accuracy_published.",
                unit="fraction",
                range="-1 to 1",
                subject=Subject.STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="entropy_published_nats",
                title="predictive entropy, as published",
                definition="Mean entropy of p_S on test images augmented at the student's "
                f"strength, per batch of {_BATCH}, then averaged.",
                unit="nats",
                range="0 to ln K",
                subject=Subject.STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="ece_published",
                title="expected calibration error, as published",
                definition="Unweighted mean over 10 equal-width confidence bins of |accuracy - "
                "mean confidence| on the clean test images, empty bins as 0.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="agreement_published",
                title="top-1 agreement, as published",
                definition="Mean of 1[c_S = c_E] on test images augmented at the student's "
                f"strength, per batch of {_BATCH}, then averaged.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.ENSEMBLE_STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="predictive_kl_published_nats",
                title="predictive divergence, as published",
                definition="10 times the mean KL(p_S || p_E) on test images augmented at the "
                f"student's strength, per batch of {_BATCH}, then averaged.",
                unit="nats, times 10",
                range="0 or more",
                subject=Subject.ENSEMBLE_STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="mutual_information_published_nats",
                title="mutual information, as published",
                definition="Plug-in I(c_E; c_S) on test images augmented at the student's "
                f"strength, per batch of {_BATCH}, then averaged.",
                unit="nats",
                range="0 to ln K",
                subject=Subject.ENSEMBLE_STUDENT,
                by_half=False,
                source=_GUO,
            ),
            Measure(
                name="attention_iou_published",
                title="teachers' attention IoU, as published",
                definition="Intersections over unions of two teachers' masks of cam_sum (of "
                "transformers: rollout) on test images augmented at the student's strength, pooled "
                f"per batch of {_BATCH}, then averaged over batches and teacher pairs.",
                unit="fraction",
                range="0 to 1",
                subject=Subject.TEACHER_TEACHER,
                by_half=False,
                source=_GUO,
                null="one teacher only, or no mask in any batch",
            ),
            Measure(
                name="affinity_published",
                title="affinity, as published",
                definition="Accuracy of the student's own teachers on test images augmented at "
                "the teachers' strength, over their accuracy on clean ones, mean over teachers.",
                unit="ratio",
                range="0 or more",
                subject=Subject.LEVEL,
                by_half=False,
                source=_GUO,
            ),
        ),
        key=lambda measure: "published" in measure.name,
    )
)
"""Every measure, the plain ones first."""

BY_NAME: Final = {measure.name: measure for measure in MEASURES}
