"""The field's words, once: every other module spells them through these.

A *block* is one seed: its teachers and the students distilled from them. A
*level* is one augmentation setting with a strength in [0, 1]. A *view* is the
version of the images that a model is shown: ``clean`` or one level's seeded
augmented version.
"""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a model is in its block."""

    TEACHER = "teacher"
    STUDENT = "student"


class Arm(StrEnum):
    """How a student's own augmentation follows from its teachers', in a dose-response design.

    Other designs name arms of their own. ``fixed``: the same for every student, so that only
    the teachers differ.
    ``matched``: its teachers' strength, as in the published study. ``control``: in any design; it
    has no teachers, and learns from the labels alone.
    """

    FIXED = "fixed"
    MATCHED = "matched"
    CONTROL = "control"


class Split(StrEnum):
    """Which images: those trained on, or those held out."""

    TRAIN = "train"
    TEST = "test"


class Half(StrEnum):
    """Part of the test images that a measure was taken on.

    ``a`` and ``b`` partition the test images, so that a predictor measured on one
    and an outcome measured on the other share no sampling noise.
    """

    ALL = "all"
    A = "a"
    B = "b"


class Status(StrEnum):
    """How a model's training ended."""

    COMPLETE = "complete"
    FAILED = "failed"


class PairKind(StrEnum):
    """Which two models of a block are compared."""

    TEACHER_TEACHER = "teacher_teacher"
    TEACHER_STUDENT = "teacher_student"


class NetworkKind(StrEnum):
    """What a network's attention is read from: its last feature map, or its tokens."""

    CONVOLUTIONAL = "convolutional"
    TRANSFORMER = "transformer"


class AttentionMethod(StrEnum):
    """How an attention map is read from a network.

    Of convolutional networks, the last feature map's channels are summed. Class activation maps,
    of networks whose head is pooling and a linear layer: ``cam_label`` takes the weights of the
    image's label, ``cam_predicted`` those of the model's own prediction, ``cam_sum`` their sum
    over all classes, as in the published study. ``gradcam`` takes the mean gradient of the
    predicted class's logit, and suits any head.

    Of transformers, what the class token attends to: ``rollout`` through all layers (Abnar &
    Zuidema 2020), ``class_token`` in the last layer alone.
    """

    CAM_LABEL = "cam_label"
    CAM_PREDICTED = "cam_predicted"
    CAM_SUM = "cam_sum"
    GRADCAM = "gradcam"
    ROLLOUT = "rollout"
    CLASS_TOKEN = "class_token"

    @property
    def kind(self) -> NetworkKind:
        """The kind of network that has such maps."""
        of_tokens = self in (AttentionMethod.ROLLOUT, AttentionMethod.CLASS_TOKEN)
        return NetworkKind.TRANSFORMER if of_tokens else NetworkKind.CONVOLUTIONAL


PUBLISHED_METHOD: Final = {
    NetworkKind.CONVOLUTIONAL: AttentionMethod.CAM_SUM,
    NetworkKind.TRANSFORMER: AttentionMethod.ROLLOUT,
}
"""The map that the published measures are made of; of transformers, what stands for it."""


class LogitsType(StrEnum):
    """How a store keeps logits: as they were computed, or rounded to half precision."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class Form(StrEnum):
    """Whether a measure is the sound one or the published study's computation."""

    PLAIN = "plain"
    PUBLISHED = "published"


CLEAN_VIEW: Final = "clean"
"""The view of un-augmented images."""

MODELS_PER_BLOCK_LIMIT: Final = 1000
"""``model_id`` is ``block * MODELS_PER_BLOCK_LIMIT + ordinal``."""

MASK_WORD_BITS: Final = 64
"""Cells that one word of a mask holds."""

MASK_WORDS: Final = 4
"""Signed 64-bit words per attention mask: grids of up to 256 cells."""


def level_name(strength: float, policy: str = "graded") -> str:
    """Name of a policy's level at a strength, also its view's name.

    Strength 0 leaves images as they are, so its view is the clean one.
    """
    return CLEAN_VIEW if strength == 0 else f"{policy}-{strength:g}"
