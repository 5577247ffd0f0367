"""Entries of Triton's pytorch backend: TorchScript called by position under the names that config.pbtxt gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.builders import triton_torch
from gantline.builders.triton_torch import ordered

from gantline.errors import BadArtefact, VerificationFailed
from gantline.packages import Package

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
Packager = Callable[..., Package]
CONFIG = """
name: "net"
platform: "pytorch_libtorch"
max_batch_size: 8
input [
  { name: "SIDE__1" data_type: TYPE_FP32 dims: [ 2 ] },
  { name: "MAIN__0" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } }
]
output [ { name: "SCORE__0" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" } ]
parameters { key: "INFERENCE_MODE" value { string_value: "true" } }
"""


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is found at run time
    def forward(self, main: Any, side: Any) -> Any:
        return main[:, :2] * side[:, :2] + main[:, 2:]


def net(folder: Path, text: str = CONFIG, wide: int = 2) -> Path:
    """main [N,4], side [N,2] (or wider) -> main[:, :2] * side[:, :2] + main[:, 2:]."""
    (folder / "net/1").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and Triton's users have such files
        torch.jit.trace(Net(), (torch.ones(2, 4), torch.ones(2, wide))).save(str(folder / "net/1/model.pt"))
    (folder / "net/config.pbtxt").write_text(text)
    (folder / "net/labels.txt").write_text("no\nyes\n")
    return folder / "net"


def test_names_say_the_place(packaged: Packager, tmp_path: Path) -> None:
    rows = {"MAIN__0": np.ones((3, 2, 2), np.float32), "SIDE__1": np.ones((3, 2), np.float32)}
    package = packaged(net(tmp_path), "net", sample=rows)
    manifest = package.manifest
    assert manifest.signature is not None and manifest.parity is not None and manifest.batching.max_batch_size == 8
    assert (manifest.parity.sample, manifest.parity.rows) == ("given", 3), "in the config's shapes"
    shapes = [(t.name, t.shape) for t in (*manifest.signature.inputs, *manifest.signature.outputs)]
    assert shapes == [("SIDE__1", (-1, 2)), ("MAIN__0", (-1, 2, 2)), ("SCORE__0", (-1, 2))]
    assert manifest.signature.outputs[0].labels == ("no", "yes")
    assert any("INFERENCE_MODE" in n for n in manifest.notes)
    main = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    side = np.array([[2, 3], [4, 5]], np.float32)
    session = Session.open(package)
    (found,) = session.run({"MAIN__0": main, "SIDE__1": side})
    assert found.tolist() == (main[:, 0] * side + main[:, 1]).tolist() and len(replay(session)) == 1
    session.close()


@pytest.mark.slow
def test_inputs_in_another_order_are_caught(
    packaged: Packager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: two inputs of one shape that change places in the file, and not in the source."""
    text = CONFIG.replace("dims: [ 2, 2 ] reshape { shape: [ 4 ] }", "dims: [ 4 ]").replace(
        "dims: [ 2 ] }", "dims: [ 4 ] }"
    )
    real = triton_torch._rename

    def broken(path: Path, names: dict[str, str], target: Path) -> None:
        one, two = sorted(n for n in names if names[n].endswith(("0", "1")) and "SCORE" not in names[n])
        real(path, {**names, one: names[two], two: names[one]}, target)

    place = net(tmp_path, text, wide=4)
    monkeypatch.setattr(triton_torch, "_rename", broken)
    with pytest.raises(VerificationFailed, match="'SCORE__0'"):
        packaged(place, "net")


def test_places() -> None:
    assert ordered(["b__1", "a__0"], ["x", "y"], "w") == {"b__1": "y", "a__0": "x"}
    assert ordered(["y", "x"], ["x", "y"], "w") == {"y": "y", "x": "x"}
    assert ordered(["p", "q"], ["x", "y"], "w") == {"p": "x", "q": "y"}
    with pytest.raises(BadArtefact, match=r"w 'a__2' would be number 2 of the program's 1: \['x'\]"):
        ordered(["a__2"], ["x"], "w")


def test_a_config_is_needed(packaged: Packager, tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"needs config\.pbtxt with its inputs and outputs"):
        packaged(net(tmp_path, 'platform: "pytorch_libtorch"'), "net")
