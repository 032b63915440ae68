"""Sections of a study file, each a typed, checked value; ``Design`` puts them together."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from store.declared import Declared
from store.networks import Networks
from store.training import Training
from store.vocabulary import PUBLISHED_METHOD, AttentionMethod, LogitsType, NetworkKind

MOST_LOOKS: Final = 30
"""Times that a study's data may be looked at while seeds are added."""


class Foreign(Declared):
    """What is known of models that another software trained, in words that the report prints.

    trainer: the software. teacher, student: the models. strength: what a strength is a fraction
    of. grid: side of the attention maps, where there are any.
    """

    trainer: str = Field(min_length=1, max_length=200)
    teacher: str = Field(min_length=1, max_length=200)
    student: str = Field(min_length=1, max_length=200)
    strength: str = Field(min_length=1, max_length=200)
    grid: int = Field(default=8, ge=1, le=16)


class OwnTraining(Declared):
    """Networks, recipes and size of the images of a study whose models this software trains."""

    networks: Networks
    training: Training
    image_size: int


class Attention(Declared):
    """Which attention maps are kept, which the claims are tested on, its mask's threshold.

    ``cam_sum``, of transformers ``rollout``, is kept whatever ``methods`` says: the published
    measures need it. A study of transformers that names no method has ``rollout``, and
    ``class_token`` beside it.
    """

    methods: tuple[AttentionMethod, ...] = (
        AttentionMethod.CAM_LABEL,
        AttentionMethod.CAM_PREDICTED,
        AttentionMethod.CAM_SUM,
    )
    primary: AttentionMethod = AttentionMethod.CAM_LABEL
    tau: float = Field(default=0.4, gt=0, lt=1)

    @model_validator(mode="after")
    def _maps_are_of_one_kind(self) -> Self:
        odd = [method for method in self.methods if method.kind is not self.kind]
        if odd:
            raise ValueError(
                f"methods has {str(odd[0])!r}, of {odd[0].kind} networks, and primary is "
                f"{str(self.primary)!r}, of {self.kind} networks; allowed: of one kind, "
                f"{methods_of(self.kind)} or {methods_of(odd[0].kind)}"
            )
        return self

    @model_validator(mode="after")
    def _primary_is_kept(self) -> Self:
        if self.primary not in self.kept:
            raise ValueError(
                f"primary {str(self.primary)!r} is not among methods "
                f"{[str(method) for method in self.methods]}"
            )
        return self

    @property
    def kind(self) -> NetworkKind:
        """The kind of network whose maps are kept."""
        return self.primary.kind

    @property
    def published(self) -> AttentionMethod:
        """The method whose maps the published measures are made of: kept of every view."""
        return PUBLISHED_METHOD[self.kind]

    @property
    def kept(self) -> tuple[AttentionMethod, ...]:
        """Methods whose maps are kept of clean images, each once, in the vocabulary's order."""
        asked = {*self.methods, self.published}
        return tuple(method for method in AttentionMethod if method in asked)


class Claim(Declared):
    """A claim's smallest effect size of interest, per outcome, in outcome units.

    Per unit of strength, or per unit of the predictor where the claim associates two
    measures. To be set before data are seen.
    """

    sesoi: dict[str, Annotated[float, Field(gt=0)]]


class AddingSeeds(Declared):
    """The rule by which seeds may be added once the data have been looked at.

    ``none``: the number of seeds is fixed beforehand. ``group_sequential``: the data may be looked
    at when ``seeds`` is one of ``looks``, numbers of seed blocks; the last is the cap. To be
    declared before data are seen.
    """

    rule: Literal["none", "group_sequential"] = "none"
    looks: tuple[Annotated[int, Field(ge=3, le=100_000)], ...] = Field(
        default=(), max_length=MOST_LOOKS
    )

    @model_validator(mode="after")
    def _looks_belong_to_the_rule(self) -> Self:
        looks = list(self.looks)
        if self.rule == "none" and looks:
            raise ValueError(
                f"looks {looks} without their rule; write rule: group_sequential, or leave them out"
            )
        if self.rule == "group_sequential" and not looks:
            raise ValueError(
                "rule group_sequential needs looks: the numbers of seeds at which the data may be "
                "looked at, the last being the cap, e.g. [8, 16, 24]"
            )
        if looks != sorted(set(looks)):
            raise ValueError(
                f"looks {looks} are not ascending and distinct; allowed: {sorted(set(looks))}"
            )
        return self


class SharedTeachers(Declared):
    """Pools of teachers that seed blocks share, instead of teachers of their own.

    pools: how many; block b learns from pool b modulo that. The teachers of a pool are the same
    networks for all of its blocks, so a statement about teachers has ``pools`` replicates.
    """

    pools: int = Field(ge=1, le=100_000)


class Engine(Declared):
    """Declared arithmetic. It changes bits, so it is part of every shard's key.

    ``precision`` auto: bf16 where the processor or GPU has instructions for it, else fp32.
    ``compile``: through torch.compile, which costs up to a minute at each start of a job.
    """

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False


class Storage(Declared):
    """How the store keeps what shards hold; another choice makes it anew and trains nothing.

    logits: ``float32`` as computed, or ``float16``, rounded to half precision: half the size.
    """

    logits: LogitsType = LogitsType.FLOAT32


def methods_of(kind: NetworkKind) -> str:
    """List the attention maps of a kind of network, as an error message names them."""
    return ", ".join(method for method in AttentionMethod if method.kind is kind)
