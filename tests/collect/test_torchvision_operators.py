import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKES = {
    "fitting": "import torch\n"
    "library = torch.library.Library('torchvision', 'DEF')\n"
    "library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n",
    "unfitting": "import torch\n@torch.library.register_fake('torchvision::nms')\n"
    "def nms(dets, scores, iou_threshold):\n    return scores\n",
    "broken": "raise RuntimeError('some other fault')\n",
}


def _run(folder: Path, body: str, code: str) -> subprocess.CompletedProcess[str]:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(f"from torchvision import inner\n{code}")
    (package / "inner.py").write_text("")
    script = f"import sys; sys.path.insert(0, {str(folder)!r})\n{body}"
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )


IMPORT = "from collect.torchvision_operators import import_torchvision\nimport_torchvision()\n"


def test_the_real_torchvision_imports_and_transforms():
    script = IMPORT + (
        "import torch\n"
        "from torchvision.transforms.v2 import functional\n"
        "print(functional.resize(torch.ones(1, 4, 4), [2, 2]).shape)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "torch.Size([1, 2, 2])" in found.stdout


def test_operators_that_loaded_are_left_alone(tmp_path):
    body = IMPORT + "from collect import torchvision_operators as m\nprint(len(m._declared))"
    assert _run(tmp_path, body, FAKES["fitting"]).stdout.strip() == "0"


def test_operators_that_did_not_load_are_declared(tmp_path):
    body = IMPORT + (
        "import torch\nfrom collect import torchvision_operators as m\n"
        "print(len(m._declared), torch.ops.torchvision.nms.default._schema)"
    )
    found = _run(tmp_path, body, FAKES["unfitting"])
    assert found.stdout.startswith("1 torchvision::nms(Tensor dets"), found.stderr


@pytest.mark.parametrize("fault", ["some other fault"])
def test_any_other_fault_is_passed_on(tmp_path, fault):
    found = _run(tmp_path, IMPORT, FAKES["broken"])
    assert found.returncode != 0
    assert fault in found.stderr
