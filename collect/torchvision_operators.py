"""Import torchvision beside a torch build that its compiled operators do not fit.

``pip install torch torchvision`` on a machine without a GPU can give a CPU build of torch
and a torchvision compiled for CUDA. Its operators then do not load, and importing
torchvision fails with "operator torchvision::nms does not exist", because it registers a
shape function for an operator that nothing declared. Declaring the schema mends all that is
used here (models, transforms, datasets); calling the operator itself would still fail.
"""

import importlib
import sys
from types import ModuleType
from typing import Final

import torch

_SCHEMA: Final = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS: Final = ("nms", "qnms")
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its operators' schemas where they did not load.

    Raises RuntimeError as torchvision does for any other fault.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    if not _declared:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _OPERATORS:
            library.define(operator + _SCHEMA)
        _declared.append(library)
    return importlib.import_module("torchvision")
