"""A study as a typed, checked value: ``Design``."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import Field, model_validator

from store.augmentations import Augmentation, Graded, refused_strength
from store.conditions import AnyConditions
from store.declared import Declared
from store.errors import StudyError
from store.images import Dataset, ForeignData, image_numbers
from store.networks import CifarNetwork, Networks
from store.plan import BlockPlan, with_controls
from store.sections import (
    AddingSeeds,
    Attention,
    Claim,
    Engine,
    Foreign,
    OwnTraining,
    SharedTeachers,
    Storage,
    methods_of,
)
from store.training import AnyDistillation, Distillation, Training
from store.vocabulary import MODELS_PER_BLOCK_LIMIT, AttentionMethod, NetworkKind, level_name

TRAINING_PROTOCOL: Final = 2
"""Raised by hand whenever the same study and seed would give other numbers."""

_NO_EFFECT_ON_TRAINING: Final = (
    "study",
    "title",
    "seeds",
    "pack_size",
    "attention",
    "claims",
    "failed_runs",
    "adding_seeds",
    "deviations",
    "store",
)
_TRANSFORMER_METHODS: Final = tuple(
    method for method in AttentionMethod if method.kind is NetworkKind.TRANSFORMER
)
_OF_OWN_TRAINING: Final = frozenset(
    {"device", "engine", "networks", "training", "augmentation", "distillation"}
)
"""What is declared of models that this software trains, and cannot be known of others."""


class Design(Declared):
    """One study, whole: what is trained, what is measured, what is claimed."""

    left_out_at_default = ("shared_teachers", "deviations")

    study: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    title: str = Field(min_length=1, max_length=300)
    study_seed: int = Field(ge=0, lt=2**63)
    seeds: int = Field(ge=1, le=100_000, description="number of seed blocks")
    pack_size: int = Field(default=1, ge=1, description="blocks that one job trains")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    engine: Engine = Engine()
    dataset: Dataset
    foreign: Foreign | None = None
    networks: Networks | None = None
    training: Training | None = None
    augmentation: Augmentation = Graded()
    design: AnyConditions
    shared_teachers: SharedTeachers | None = None
    distillation: AnyDistillation = Distillation()
    attention: Attention = Attention()
    claims: dict[Literal["H1", "H2a", "H2b", "H3a", "H3b", "H4"], Claim] = Field(min_length=1)
    failed_runs: Literal["exclude_block", "exclude_student"] = Field(
        default="exclude_block",
        description="what the analysis leaves out when a model fails; it stays in the store",
    )
    adding_seeds: AddingSeeds = AddingSeeds()
    deviations: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        default=(),
        description="what was done otherwise than planned, in words; the report prints it",
    )
    store: Storage = Storage()

    @model_validator(mode="before")
    @classmethod
    def _transformers_have_maps_of_their_own(cls, value: Any) -> Any:
        """Name the maps of a study of transformers that does not name them itself."""
        found = _declared_at(value, "networks", "student", "family")
        if found != "vit":
            return value
        declared = cast("dict[str, Any]", value)
        attention = declared.get("attention", {})
        own = {"methods": _TRANSFORMER_METHODS, "primary": _TRANSFORMER_METHODS[0]}
        primary = _declared_at(attention, "primary") or own["primary"]
        if not isinstance(attention, dict) or primary not in _TRANSFORMER_METHODS:
            # what it names for itself is judged as it stands
            return declared
        return {**declared, "attention": {**own, **cast("dict[str, Any]", attention)}}

    @model_validator(mode="after")
    def _seeds_are_a_look(self) -> Self:
        looks = self.adding_seeds.looks
        if looks and self.seeds not in looks:
            allowed = ", ".join(str(look) for look in looks)
            raise ValueError(
                f"seeds is {self.seeds}, which adding_seeds.looks does not name; allowed: {allowed}"
            )
        return self

    @model_validator(mode="after")
    def _looks_count_replicates(self) -> Self:
        if self.shared_teachers is not None and self.adding_seeds.rule != "none":
            raise ValueError(
                "adding_seeds: more seeds bring no new teachers where teachers are shared, so its "
                "levels would be wrong; leave out shared_teachers, or write rule: none"
            )
        return self

    @model_validator(mode="after")
    def _says_who_trains(self) -> Self:
        foreign = isinstance(self.dataset, ForeignData)
        if foreign != (self.foreign is not None):
            raise ValueError(
                "dataset.kind foreign and the section foreign go together: they are for models "
                "that another software trained"
            )
        if foreign:
            unknown = sorted(self.model_fields_set & _OF_OWN_TRAINING)
            if unknown:
                raise ValueError(
                    f"{', '.join(unknown)}: not for models that another software trained; say in "
                    "the section foreign, in words, what they are"
                )
        for name in ("networks", "training"):
            if not foreign and getattr(self, name) is None:
                raise ValueError(f"{name}: missing; it has no default")
        return self

    @model_validator(mode="after")
    def _policy_has_the_strengths(self) -> Self:
        if self.foreign is not None:
            # a dose of any kind; the field has its bounds
            return self
        for key, strengths in self.design.declared_strengths().items():
            for strength in strengths:
                refused = refused_strength(self.augmentation, strength)
                if refused:
                    raise ValueError(f"design.{key}: {refused}")
        return self

    @model_validator(mode="after")
    def _foreign_students_are_told_apart(self) -> Self:
        if self.foreign is None:
            return self
        students = self.plan().students
        counted = Counter((student.arm, student.teacher_strength) for student in students)
        for (arm, strength), count in counted.items():
            if count > 1:
                raise ValueError(
                    f"design: {count} conditions of arm {arm} have teachers of mean strength "
                    f"{strength:g}; models that another software trained are told apart by arm "
                    "and mean strength, so give each of these conditions an arm of its own"
                )
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.networks is None or isinstance(self.dataset, ForeignData):
            return self
        grids: dict[str, int] = {}
        for role, network in self.networks.by_role().items():
            try:
                grids[role] = network.grid(self.dataset.image_size)
            except ValueError as error:
                raise ValueError(
                    f"networks.{role}: on images of {self.dataset.image_size} px, {error}; choose "
                    "strides, stem, patch or image_size that fit"
                ) from None
        if len(set(grids.values())) != 1:
            raise ValueError(
                f"networks: the attention grid of the teacher is {grids['teacher']}, of the "
                f"student {grids['student']} cells a side; choose strides, stem or patch that "
                "give both the same"
            )
        return self

    @model_validator(mode="after")
    def _attention_is_of_the_networks(self) -> Self:
        if self.networks is None or self.attention.kind is self.networks.kind:
            return self
        raise ValueError(
            f"attention.primary: {str(self.attention.primary)!r} is a map of "
            f"{self.attention.kind} networks, but networks are of family "
            f"{self.networks.student.family}; allowed: {methods_of(self.networks.kind)}"
        )

    @model_validator(mode="after")
    def _block_is_not_too_large(self) -> Self:
        if self.plan().size > MODELS_PER_BLOCK_LIMIT:
            raise ValueError(f"design: more than {MODELS_PER_BLOCK_LIMIT} models in a block")
        return self

    @property
    def grid(self) -> int:
        """Side of the attention grid, in cells."""
        if self.foreign is not None:
            return self.foreign.grid
        dataset = self.dataset
        assert self.networks is not None
        assert not isinstance(dataset, ForeignData)
        return self.networks.student.grid(dataset.image_size)

    @property
    def own_training(self) -> OwnTraining:
        """What trains the models of the study.

        Raises StudyError where another software did.
        """
        dataset = self.dataset
        if self.networks is None or self.training is None or isinstance(dataset, ForeignData):
            raise StudyError(
                f"{self.study}: its models were trained elsewhere; python -m store adopt takes "
                "them in, and there is nothing to train"
            )
        return OwnTraining(
            networks=self.networks, training=self.training, image_size=dataset.image_size
        )

    def pool_of(self, block: int) -> int | None:
        """Return the pool that a block's teachers are of; None where they are its own."""
        return None if self.shared_teachers is None else block % self.shared_teachers.pools

    def teachers_key(self, pool: int, engine: str) -> str:
        """Return what a pool's teachers depend on, as 16 hexadecimal digits.

        engine: what was observed of the arithmetic. Neither students nor which strengths there
        are, nor the number of pools, change it.
        """
        numbers = self.numbers()
        of_teachers = {
            key: numbers[key]
            for key in ("study_seed", "device", "engine", "dataset", "augmentation")
        }
        for key in ("networks", "training"):
            of_teachers[key] = numbers[key]["teacher"]
        content = {
            "numbers": of_teachers,
            "pool": pool,
            "engine": engine,
            "protocol": TRAINING_PROTOCOL,
        }
        return _digest(content)[:16]

    @property
    def deciding_ensemble(self) -> int:
        """Teachers of each student that decides."""
        arm = self.design.main_arm
        return next(len(each.teachers) for each in self.plan().students if each.arm == arm)

    def plan(self) -> BlockPlan:
        """Lay out one block: the conditions, and control students where they are declared."""
        plan = self.design.plan()
        return with_controls(plan) if self.design.control else plan

    def views(self) -> dict[str, float]:
        """Every view that some student trains on or that strengths name, with its strength."""
        plan = self.plan()
        strengths = sorted({0.0, *(model.strength for model in (*plan.teachers, *plan.students))})
        return {self.level(strength): strength for strength in strengths}

    def level(self, strength: float) -> str:
        """Return the name of the declared policy's level at a strength, and of its view."""
        return level_name(strength, self.augmentation.policy)

    def numbers(self) -> dict[str, Any]:
        """Return the part of the study that can change a shard's numbers."""
        dumped = self.declared()
        for key in _NO_EFFECT_ON_TRAINING:
            dumped.pop(key, None)
        dumped["attention_methods"] = [str(method) for method in self.attention.kept]
        # which students decide is a matter of the analysis
        dumped["design"].pop("deciding", None)
        dumped["dataset"] = image_numbers(self.dataset)
        if self.networks is not None:
            for role, network in self.networks.by_role().items():
                if not isinstance(network, CifarNetwork):
                    # what a file holds changes numbers, not where it lies
                    del dumped["networks"][role]["weights_sha256"]
                    dumped["networks"][role]["weights"] = network.weights_key
        return dumped

    def declared(self) -> dict[str, Any]:
        """Everything that the study declares, defaults included, as JSON has it.

        Sections of a study that this one is not are left out: a foreign one declares no
        augmentation, not the default one.
        """
        dumped = self.model_dump(mode="json")
        absent = {"foreign"} if self.foreign is None else _OF_OWN_TRAINING
        return {key: value for key, value in dumped.items() if key not in absent}

    def shard_key(self, block: int) -> str:
        """Return what a block's numbers depend on, as 16 hexadecimal digits.

        Grows of ``seeds``, other claims, another threshold or another precision of the stored
        logits leave it unchanged.
        """
        return self.shard_keys([block])[0]

    def shard_keys(self, blocks: Iterable[int]) -> list[str]:
        """Return the shard keys of several blocks, for which the study is read once."""
        common = {"numbers": self.numbers(), "protocol": TRAINING_PROTOCOL}
        return [_digest(common | {"block": block})[:16] for block in blocks]

    def study_hash(self) -> str:
        """Return the hash of everything the study file declares, 64 hexadecimal digits."""
        return _digest(self.declared())


def _declared_at(value: Any, *keys: str) -> Any:
    """Return what a study declares at a place, checked or not; None where there is nothing."""
    for key in keys:
        known = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
        value = known if isinstance(value, dict) else getattr(value, key, None)
    return value


def declaration_hash(declaration: str) -> str:
    """Return the study hash of a declaration kept as JSON, 64 hexadecimal digits.

    It is that of ``Design.study_hash`` when the declaration was made, whatever keys studies
    have gained since. Raises ValueError where it is no JSON.
    """
    return _digest(json.loads(declaration))


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
