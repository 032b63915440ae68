"""Networks as a study declares them: their grids, their keys, what is refused."""

import hashlib
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from store.design import Design
from store.errors import StudyError
from store.networks import CifarNetwork, Network, map_side
from store.sections import Attention
from store.study_file import design_from_declaration, load_design
from store.vocabulary import AttentionMethod

DIGITS = Path(__file__).resolve().parents[2] / "config/digits.yaml"
VIT = {"family": "vit", "patch": 2, "layers": 2, "heads": 2, "width": 16, "mlp_width": 24}
SMALL = {"family": "resnet", "depth": 18, "stem": "small"}
COARSE = {"kind": "digits", "image_size": 32, "train_subset": {"size": 100}}
COLOUR = {
    "kind": "imagefolder",
    "path": "/images",
    "image_size": 224,
    "classes": 5,
    "test_size": 20,
    "train_subset": {"size": 100},
}
NETWORK: TypeAdapter[Network] = TypeAdapter(Network)


def _declared(*, teacher: object, student: object | None = None, **changes: object) -> dict:
    study = yaml.safe_load(DIGITS.read_text())
    del study["attention"]
    networks = {"teacher": teacher, "student": teacher if student is None else student}
    return {**study, "networks": networks, **changes}


def _study(**changes: object) -> Design:
    return Design.model_validate(_declared(**changes))


def _loaded(tmp_path: Path, **changes: object) -> Design:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(_declared(**changes)))
    return load_design(path)


@pytest.mark.parametrize(
    ("side", "expected"), [(4, 8), (5, 10), (6, 12), (7, 14), (8, 8), (14, 14), (16, 16)]
)
def test_a_map_is_enlarged_by_the_smallest_whole_factor_that_reaches_8(side, expected):
    assert map_side(side) == expected


@pytest.mark.parametrize("side", [1, 2, 3, 17, 28])
def test_what_fits_no_stored_grid_is_refused(side):
    with pytest.raises(ValueError, match=f"the last layer is {side} x {side} cells; allowed: 8"):
        map_side(side)


@pytest.mark.parametrize(
    ("declared", "image_size", "side", "grid"),
    [
        ({"family": "resnet", "depth": 50}, 224, 7, 14),
        ({"family": "resnet", "depth": 34}, 256, 8, 8),
        (SMALL, 32, 4, 8),
        (SMALL, 64, 8, 8),
        ({"family": "vit"}, 32, 8, 8),
        ({"family": "vit", "variant": "b_16"}, 224, 14, 14),
        ({"family": "vit", "variant": "l_32"}, 224, 7, 14),
        ({"family": "vit", "variant": "h_14"}, 224, 16, 16),
        ({"depth": 110, "width": 16}, 32, 8, 8),
    ],
)
def test_grids_follow_from_networks_and_images(declared, image_size, side, grid):
    network = NETWORK.validate_python(declared)
    assert (network.side(image_size), network.grid(image_size)) == (side, grid)


def test_a_network_without_a_family_is_of_cifar_and_has_the_key_it_had():
    plain = {"depth": 8, "width": 8, "strides": [1, 2, 1]}
    assert NETWORK.validate_python(plain) == CifarNetwork(depth=8, width=8, strides=(1, 2, 1))
    named = _study(teacher={"family": "cifar_resnet", **plain})
    assert named.shard_key(0) == _study(teacher=plain).shard_key(0)
    # of the default study, from before there were other families
    assert set(named.numbers()["networks"]["teacher"]) == {"family", "depth", "width", "strides"}


def test_a_variant_has_its_published_shape_and_small_takes_any():
    known = NETWORK.validate_python({"family": "vit", "variant": "b_16"})
    assert (known.patch, known.layers, known.heads, known.width) == (16, 12, 12, 768)
    assert known.mlp_width == 3072
    again = NETWORK.validate_python({**known.model_dump()})
    assert again == known
    assert NETWORK.validate_python(VIT).width == 16
    with pytest.raises(ValueError, match="layers 6: variant b_16 has 12; leave it out"):
        NETWORK.validate_python({"family": "vit", "variant": "b_16", "layers": 6})
    with pytest.raises(ValueError, match="width 16 is not a multiple of heads 3"):
        NETWORK.validate_python({**VIT, "heads": 3})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": SMALL}, "networks.teacher: on images of 16 px, the last layer is 2 x 2"),
        ({"teacher": {**VIT, "patch": 3}}, "patches of 3 px do not divide the side of 16 px"),
        (
            {"teacher": VIT, "student": SMALL, "dataset": COARSE},
            "networks: teacher is vit, student is resnet: attention maps .* cannot be compared",
        ),
        (
            {"teacher": VIT, "attention": {"primary": "cam_label"}},
            "attention.primary: 'cam_label' is a map of convolutional networks, .* family vit",
        ),
        (
            {"teacher": VIT, "attention": {"methods": ["gradcam"], "primary": "gradcam"}},
            "'gradcam' is a map of convolutional networks, but networks are of family vit; "
            "allowed: rollout, class_token",
        ),
        (
            {"teacher": VIT, "attention": {"methods": ["gradcam", "rollout"]}},
            "methods has 'gradcam', of convolutional networks, and primary is 'rollout', of tran",
        ),
        (
            {
                "teacher": SMALL,
                "dataset": COARSE,
                "attention": {"methods": ["rollout"], "primary": "rollout"},
            },
            "'rollout' is a map of transformer networks, but networks are of family resnet; "
            "allowed: cam_label, cam_predicted, cam_sum, gradcam",
        ),
        ({"teacher": {**SMALL, "depth": 20}}, "networks.teacher.depth: value 20: .* 18, 34 or 50"),
        ({"teacher": {**SMALL, "width": 4}}, "teacher.width: unknown key .* depth, stem"),
        ({"teacher": {"family": "vti"}}, "networks.teacher: .*'cifar_resnet', 'resnet', 'vit'"),
        ({"teacher": {"family": "vit", "variant": "b_8"}}, "teacher.variant: value 'b_8'"),
        ({"teacher": {**SMALL, "weights": "imagenet"}}, "they are for stem imagenet; the small"),
        ({"teacher": {**VIT, "weights": "imagenet"}}, "they are for the named variants"),
        (
            {"teacher": {"family": "vit", "variant": "h_14", "weights": "imagenet"}},
            "torchvision has none of IMAGENET1K_V1 for h_14",
        ),
        (
            {"teacher": {"family": "resnet", "depth": 18, "weights": "imagnet"}},
            "weights 'imagnet': allowed: none, imagenet, or the path of a file that ends in .pth",
        ),
        (
            {
                "teacher": {"family": "resnet", "depth": 18, "weights": "/nowhere/a.pth"},
                "dataset": COLOUR,
            },
            "networks.teacher.weights: /nowhere/a.pth cannot be read: No such file or directory",
        ),
    ],
)
def test_a_fault_in_the_networks_is_one_clear_line(tmp_path, changes, words):
    with pytest.raises(StudyError, match=words) as caught:
        _loaded(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_a_study_of_transformers_has_rollout_and_the_class_token():
    design = _study(teacher=VIT)
    both = (AttentionMethod.ROLLOUT, AttentionMethod.CLASS_TOKEN)
    assert design.attention.kept == both
    assert (design.attention.primary, design.attention.published) == (both[0], both[0])
    chosen = _study(teacher=VIT, attention={"methods": ["class_token"], "primary": "class_token"})
    # rollout is kept for the published measures, as cam_sum is of the others
    assert chosen.attention.kept == both
    assert _study(teacher=VIT, attention={"tau": 0.5}).attention.primary is both[0]
    assert Attention().published is AttentionMethod.CAM_SUM


def test_a_study_of_transformers_reads_back_as_it_was_declared():
    design = _study(teacher=VIT)
    text = Design.model_dump_json(design, exclude_none=True)
    assert design_from_declaration(text, source="a store").shard_key(1) == design.shard_key(1)


def _with_weights(tmp_path: Path, place: str, content: bytes, **declared: object) -> Design:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    teacher = {"family": "resnet", "depth": 18, "weights": str(file), **declared}
    student = {"family": "resnet", "depth": 18}
    return _loaded(tmp_path, teacher=teacher, student=student, dataset=COLOUR)


def test_a_shards_key_has_the_content_of_weights_and_not_where_they_lie(tmp_path):
    first = _with_weights(tmp_path, "a/weights.pth", b"some")
    moved = _with_weights(tmp_path, "b/others.pth", b"some")
    changed = _with_weights(tmp_path, "a/weights.pth", b"other")
    assert first.shard_key(0) == moved.shard_key(0) != changed.shard_key(0)
    digest = hashlib.sha256(b"some").hexdigest()
    assert first.numbers()["networks"]["teacher"]["weights"] == f"sha256:{digest}"
    assert first.networks.teacher.title == f"ResNet-18 from given weights {digest[:8]}"
    none = _loaded(tmp_path, teacher={"family": "resnet", "depth": 18}, dataset=COLOUR)
    named = {"family": "resnet", "depth": 18, "weights": "imagenet"}
    imagenet = _loaded(tmp_path, teacher=named, dataset=COLOUR)
    assert len({d.shard_key(0) for d in (first, changed, none, imagenet)}) == 4


def test_a_declared_content_needs_no_file_where_nothing_is_trained(tmp_path):
    digest = hashlib.sha256(b"some").hexdigest()
    first = _with_weights(tmp_path, "a/weights.pth", b"some")
    teacher = {"family": "resnet", "depth": 18, "weights": "gone.pth", "weights_sha256": digest}
    student = {"family": "resnet", "depth": 18}
    gone = _loaded(tmp_path, teacher=teacher, student=student, dataset=COLOUR)
    assert gone.shard_key(0) == first.shard_key(0)
    unknown = _study(teacher={**teacher, "weights_sha256": None}, dataset=COLOUR)
    with pytest.raises(StudyError, match="weights_sha256 is not known"):
        unknown.shard_key(0)
