"""Attention with the logits in one pass, against the forward pass and against two libraries."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from benchmarks.collection_training import Sizes
from benchmarks.engines import Trial, network, observation_batch, runtime
from benchmarks.pages import table
from benchmarks.rounds import Done, Turn, Way, take_turns
from collect.attention import class_activation_map, grad_cam
from collect.cifar_resnet import CifarResNet
from store.vocabulary import AttentionMethod

DEPTH: Final = 20
BATCH: Final = 128
FORWARD: Final = "forward alone: logits"

Call = Callable[[CifarResNet, Tensor, Tensor], object]


def _prepare(call: Callable[[CifarResNet], Call], trial: Trial, number: int) -> Turn:
    torch.set_num_threads(1)
    model = network(trial, number).eval()
    batches = observation_batch(trial, trial.images).split(BATCH)
    labels = torch.from_numpy(trial.labels()).split(BATCH)
    attend = call(model)

    def turn() -> Done:
        for images, truth in zip(batches, labels, strict=True):
            attend(model, images, truth)
        return Done(trial.images)

    return turn


def _forward(model: CifarResNet) -> Call:
    del model
    ours = runtime("fp32", channels=3)

    def call(model: CifarResNet, images: Tensor, labels: Tensor) -> object:
        with torch.inference_mode():
            return ours.logits(model, images)

    return call


def _cam(methods: tuple[AttentionMethod, ...], model: CifarResNet) -> Call:
    """Our maps of some methods, with the logits."""
    del model
    ours = runtime("fp32", channels=3)

    def call(model: CifarResNet, images: Tensor, labels: Tensor) -> object:
        with torch.inference_mode():
            features = ours.features(model, images)
            logits = model.logits(features)
            weights = model.head.weight
            maps = [
                grad_cam(features, model.logits)
                if method is AttentionMethod.GRADCAM
                else class_activation_map(features, weights, logits, labels, method)
                for method in methods
            ]
        return logits, maps

    return call


def _pytorch_grad_cam(model: CifarResNet) -> Call:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = GradCAM(model=model, target_layers=[model.body])

    def call(model: CifarResNet, images: Tensor, labels: Tensor) -> object:
        del model
        targets = [ClassifierOutputTarget(int(label)) for label in labels]
        return cam(input_tensor=images, targets=targets)

    return call


def _captum(model: CifarResNet) -> Call:
    from captum.attr import LayerGradCam

    cam = LayerGradCam(model, model.body)

    def call(model: CifarResNet, images: Tensor, labels: Tensor) -> object:
        with torch.no_grad():
            logits = model(images)
        return logits, cam.attribute(images, target=labels, relu_attributions=True)

    return call


def attention(sizes: Sizes) -> str:
    """Images per CPU-second of each way to have logits and maps, one thread, fp32."""
    trial = replace(sizes.trial, depth=DEPTH)
    one, all_three = (AttentionMethod.CAM_LABEL,), tuple(AttentionMethod)[:3]
    calls: dict[str, Callable[[CifarResNet], Call]] = {
        FORWARD: _forward,
        "logits and cam_label": partial(_cam, one),
        f"logits and {', '.join(all_three)}": partial(_cam, all_three),
        "logits and gradcam": partial(_cam, (AttentionMethod.GRADCAM,)),
        "pytorch-grad-cam: GradCAM": _pytorch_grad_cam,
        "captum: forward and LayerGradCam": _captum,
    }
    ways = [Way(name=name, prepare=partial(_prepare, call, trial)) for name, call in calls.items()]
    timed = take_turns(ways, rounds=sizes.rounds)
    rows = [
        [
            way.name,
            f"{timed.per_cpu_second(way.name):,.0f}",
            f"{1 / timed.cpu_ratio(way.name, FORWARD):.2f}",
        ]
        for way in ways
    ]
    return table([f"ResNet-{DEPTH}", "images per CPU-s", "CPU time, times the forward"], rows)
