"""Makes gradcam.safetensors: pytorch-grad-cam's maps of a network trained on real digits.

Run where pytorch-grad-cam 1.5.7 is installed (pip install grad-cam), from the project's root:
python tests/reference/gradcam.py. The tests need the file only.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from collect.torchvision_operators import import_torchvision

import_torchvision()
from pytorch_grad_cam import GradCAM  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

from collect.datasets import load  # noqa: E402
from collect.engine import start  # noqa: E402
from collect.models import build  # noqa: E402
from collect.seeding import model_streams  # noqa: E402
from collect.train import Trainee, TrainingSet, cross_entropy, train  # noqa: E402
from store.augmentations import Graded  # noqa: E402
from store.design import Engine  # noqa: E402
from store.networks import CifarNetwork  # noqa: E402
from store.study_file import load_design  # noqa: E402
from store.training import Recipe  # noqa: E402
from store.vocabulary import Role  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NETWORK = CifarNetwork(depth=8, width=4, strides=(1, 2, 1))
IMAGES = 40


def _main() -> None:
    design = load_design(ROOT / "config/digits.yaml")
    data = load(design)
    cpu = torch.device("cpu")
    runtime = start(Engine(precision="fp32"), cpu, mean=data.mean, std=data.std)
    labels = torch.from_numpy(data.pool.labels)
    generator = torch.Generator().manual_seed(0)
    model = build(NETWORK, channels=1, side=16, classes=10, generator=generator)
    pixels = data.test.pixels.subset(np.arange(IMAGES))
    images = runtime.standardized(torch.from_numpy(pixels.read(np.arange(IMAGES)))).contiguous()
    shown = torch.from_numpy(data.test.labels[:IMAGES])
    recipe = Recipe(epochs=10, batch_size=50, learning_rate=0.1)
    train(
        [Trainee(model, recipe, loss=cross_entropy)],
        TrainingSet(data.pool.pixels, labels, pixels, shown),
        recipe=recipe,
        policy=Graded(),
        strength=0.3,
        streams=model_streams(0, 0, Role.TEACHER, 0),
        runtime=runtime,
    )
    model.eval()
    # the grid is 8 x 8 and images are 16 x 16: its maps come out enlarged to the image's size
    with GradCAM(model=model, target_layers=[model.body]) as cam:
        predicted = cam(input_tensor=images, targets=None)
        targets = [ClassifierOutputTarget(int(label)) for label in shown]
        label = cam(input_tensor=images, targets=targets)
    save_file(
        {
            "images": images,
            "labels": shown,
            "gradcam_predicted": torch.from_numpy(np.ascontiguousarray(predicted)),
            "gradcam_label": torch.from_numpy(np.ascontiguousarray(label)),
            **{f"model.{name}": value for name, value in model.state_dict().items()},
        },
        str(Path(__file__).with_suffix(".safetensors")),
    )


if __name__ == "__main__":
    _main()
