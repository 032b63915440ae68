"""Do narrow networks train without damage to memory, on any processor?

oneDNN's kernels for AVX2 write past the weights' gradient of strided 1 x 1 convolutions of fewer
than 8 channels; the C library's own check of its heap notices, where it is at hand.
"""

import ctypes
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as functional

from collect.cifar_resnet import StridedPointwise

STEPS = """
import torch
from collect.cifar_resnet import StridedPointwise
torch.set_num_threads(1)
for channels in range(1, 10):
    layer = StridedPointwise(channels, 8, 2).to(memory_format=torch.channels_last)
    for _ in range(8):
        images = torch.randn(20, channels, 16, 16).contiguous(memory_format=torch.channels_last)
        layer(images).square().sum().backward()
print("sound")
"""


@pytest.mark.parametrize("channels", [1, 4, 7, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_strided_pointwise_convolution_and_its_gradients_are_torchs(channels, stride):
    torch.manual_seed(channels)
    layer = StridedPointwise(channels, 6, stride).double()
    images = torch.randn(3, channels, 8, 8, dtype=torch.float64, requires_grad=True)
    weights = layer.weight.detach().clone().requires_grad_()
    same = images.detach().clone().requires_grad_()
    answers = layer(images)
    expected = functional.conv2d(same, weights, stride=stride)
    torch.testing.assert_close(answers, expected, rtol=1e-12, atol=1e-12)
    answers.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, weights.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(images.grad, same.grad, rtol=1e-12, atol=1e-12)


def test_no_step_of_a_narrow_network_writes_past_its_memory():
    checker = "libc_malloc_debug.so.0"
    try:
        ctypes.CDLL(checker)
    except OSError:
        pytest.skip("this C library has no heap checker of that name")
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        env=os.environ | {"LD_PRELOAD": checker, "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "sound"), done.stderr[-2000:]
