"""The study file of a synthetic study: see ``synthetic``, which draws what it declares."""

from collections.abc import Sequence
from pathlib import Path

from store.design import Design
from store.study_file import load_design

CONVOLUTIONAL = "{depth: 8, width: 4, strides: [1, 2, 1]}"
TRANSFORMER = "{family: vit, patch: 2, layers: 1, heads: 1, width: 4, mlp_width: 4}"

STUDY = """\
study: synthetic
title: Drawn numbers
study_seed: 7
seeds: {seeds}
pack_size: 2
dataset: {{kind: digits, test_size: {test_images}, train_subset: {{size: {train_images}}}}}
networks:
  teacher: {network}
  student: {network}
training:
  teacher: {{epochs: 4, batch_size: 10, learning_rate: 0.1, evaluate_every: 2}}
  student: {{epochs: 4, batch_size: 10, learning_rate: 0.1, evaluate_every: 2}}
design: {design}
{more}
attention: {{tau: {tau}}}
store: {{logits: {logits}}}
{claims}"""

CLAIMS = """\
claims:
  H1: {sesoi: {attention_iou_adjusted: 0.05}}
  H2a: {sesoi: {generalization_gap: 0.02}}
  H2b: {sesoi: {generalization_gap: 0.1}}
  H3a: {sesoi: {agreement: 0.02, conditional_mutual_information_bits: 0.02}}
  H3b: {sesoi: {generalization_gap: 0.1}}
  H4: {sesoi: {conditional_mutual_information_bits: 0.1}}
"""


def write_study(
    folder: Path,
    *,
    seeds: int = 4,
    strengths: Sequence[float] = (0, 0.5, 1),
    teachers: int = 2,
    arms: Sequence[str] = ("fixed", "matched"),
    conditions: str | None = None,
    claims: str | None = None,
    test_images: int = 60,
    train_images: int = 40,
    tau: float = 0.4,
    logits: str = "float32",
    control: bool = False,
    more: str = "",
    network: str = CONVOLUTIONAL,
) -> tuple[Design, Path]:
    """Write and read a study file.

    conditions: its design, in place of strengths, teachers, arms and control. claims: in place of
    all. more: lines beside the template's.
    """
    path = folder / "synthetic.yaml"
    path.write_text(
        STUDY.format(
            seeds=seeds,
            design=conditions
            or f"{{strengths: {list(strengths)}, teachers: {teachers}, arms: {list(arms)}, "
            f"control: {str(control).lower()}}}",
            test_images=test_images,
            train_images=train_images,
            tau=tau,
            logits=logits,
            claims=claims or CLAIMS,
            more=more,
            network=network,
        ),
        encoding="utf-8",
    )
    return load_design(path), path
