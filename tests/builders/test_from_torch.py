"""torch sources of every form become packages that answer as the module does, or an error that says what to type."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.builders.pack import pack
from gantline.builders.source import Limits, Source

from gantline.errors import BadArtefact, BadRequest, UsageError, VerificationFailed
from gantline.packages import Package
from gantline.tensors import Array

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.torch
nn = torch.nn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Cnn(nn.Module):  # type: ignore[misc, name-defined]  # torch is found at run time
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(8 * 36, classes)

    def forward(self, image: Any) -> Any:
        return self.out(self.drop(torch.relu(self.norm(self.conv(image)))).flatten(1))


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    return (data.data.reshape(-1, 1, 8, 8) / 16).astype(np.float32), data.target


@pytest.fixture(scope="module")
def cnn(digits: tuple[Array, Array]) -> Any:
    """A CNN trained for two seconds; left in training mode, as people leave them."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, (x, y) = Cnn(), (torch.from_numpy(digits[0][:1200]), torch.from_numpy(digits[1][:1200]))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for at in range(0, 1200, 100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[at : at + 100]), y[at : at + 100]).backward()
            optimiser.step()
    return model


def truth(model: Any, *inputs: Array) -> Any:
    """What the module answers in evaluation mode, leaving it in the mode it was in."""
    was = model.training
    model.eval()
    with torch.no_grad():
        found = model(*(torch.from_numpy(a) for a in inputs))
    model.train(was)
    return found


def made(tmp_path: Path, model: Any, name: str = "m", **more: Any) -> Package:
    return pack(Source(name, object=model, **more), tmp_path / f"{name}.pkg")


def run(package: Package, **inputs: Array) -> dict[str, Array]:
    session = Session.open(package)
    found = dict(zip(session.output_names, session.run(inputs), strict=True))
    session.close()
    return found


def test_a_trained_cnn_in_memory(tmp_path: Path, cnn: Any, digits: tuple[Array, Array]) -> None:
    x, y = digits[0][1200:], digits[1][1200:]
    package = made(tmp_path, cnn, sample={"image": digits[0][:20]})
    manifest = package.manifest
    assert (manifest.engine, manifest.source and manifest.source.framework) == ("onnx", "torch")
    assert cnn.training, "the user's own module is left as it was"
    assert any("training mode" in n for n in manifest.notes)
    assert manifest.parity is not None
    assert manifest.parity.max_rel_error < 1e-4
    got = run(package, image=x)["output"]
    np.testing.assert_allclose(got, truth(cnn, x).numpy(), rtol=1e-3, atol=1e-4)
    assert (got.argmax(1) == y).mean() > 0.9
    assert run(package, image=x[:1])["output"].shape == (1, 10)
    signature = Session.open(package).signature
    assert [(t.name, t.shape) for t in signature.inputs] == [("image", (-1, 1, 8, 8))]
    assert manifest.batching.max_batch_size > 0


@pytest.mark.slow
def test_the_same_model_has_the_same_digest(tmp_path: Path, cnn: Any, digits: tuple[Array, Array]) -> None:
    sample = {"image": digits[0][:4]}
    one, two = (made(tmp_path / d, cnn, sample=sample) for d in ("a", "deeper/b"))
    assert one.digest == two.digest
    assert str(tmp_path).encode() not in one.model_path.read_bytes()
    assert b"test_from_torch" not in one.model_path.read_bytes()


class Mixed(nn.Module):  # type: ignore[misc, name-defined]
    """Words and numbers in, a dict out, one input left at its default."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6)
        self.out = nn.Linear(9, 2)

    def forward(self, ids: Any, numbers: Any, scale: Any = None) -> Any:
        y = self.out(torch.cat([self.words(ids).mean(1), numbers], 1))
        return {"logits": y if scale is None else y * scale, "best": y.argmax(1)}


def test_several_inputs_and_a_dict(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module, random = Mixed(), np.random.default_rng(1)
    sample = {"ids": random.integers(0, 20, (6, 4)), "numbers": random.standard_normal((6, 3))}
    package = made(tmp_path, module, sample=sample)
    assert package.manifest.engine == "onnx"
    assert any("keep their default: scale" in n for n in package.manifest.notes)
    numbers = sample["numbers"].astype(np.float32)
    found, want = run(package, ids=sample["ids"], numbers=numbers), truth(module, sample["ids"], numbers)
    np.testing.assert_allclose(found["logits"], want["logits"].numpy(), rtol=1e-4, atol=1e-6)
    assert np.array_equal(found["best"], want["best"].numpy())


@pytest.mark.slow
def test_positional_arrays_and_columns(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    by_position = {"arr_0": random.integers(0, 20, (6, 4)), "arr_1": random.standard_normal((6, 3))}
    assert made(tmp_path, Mixed(), sample=by_position).manifest.engine == "onnx"
    columns = {c: random.integers(0, 9, 5) for c in "abcd"}  # whole numbers, as a CSV of measurements may hold
    package = made(tmp_path, nn.Linear(4, 2), name="columns", sample=columns)
    assert Session.open(package).signature.inputs[0].datatype == "FP32"


def test_samples_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"holds 'x'; forward\(\) takes 'ids', 'numbers', 'scale'"):
        made(tmp_path, Mixed(), sample={"x": np.ones((2, 3))})
    with pytest.raises(BadRequest, match=r"forward\(\) fails on the example \(input float32\[2, 3\]\)"):
        made(tmp_path, nn.Linear(4, 2), sample={"input": np.ones((2, 3))})
    with pytest.raises(BadRequest, match="a torch model takes numbers"):
        made(tmp_path, nn.Linear(4, 2), sample={"input": np.array([["a"]], object)})
    with pytest.raises(UsageError, match="needs example inputs for input"):
        made(tmp_path, nn.Linear(4, 2))


DOUBLING = """
import torch

class Doubling(torch.nn.Module):  # decides by its data how often it loops
    def forward(self, x):
        total = float(x.abs().sum())
        while total < 100.0:
            x = x * 2.0 + 0.5
            total = total * 2.0 + 1.0
        return x
"""


def test_control_flow_goes_to_the_torch_engine_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doubling_module.py").write_text(DOUBLING)
    monkeypatch.syspath_prepend(str(tmp_path))
    shop = importlib.import_module("doubling_module")
    x = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    package = made(tmp_path, shop.Doubling(), sample={"x": x})
    assert package.manifest.engine == "torch"
    assert "dynamo exporter: " in package.manifest.engine_reason
    for factor in (0.01, 1.0, 50.0):
        got = run(package, x=x * np.float32(factor))["output"]
        np.testing.assert_allclose(got, truth(shop.Doubling(), x * np.float32(factor)).numpy(), rtol=1e-6)
    again = made(tmp_path / "elsewhere", shop.Doubling(), sample={"x": x})
    assert again.digest == package.digest


@pytest.mark.slow
def test_a_program_that_onnx_rounds_otherwise_is_kept_as_an_exported_program(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8)).to(torch.bfloat16)
    x = np.random.default_rng(0).standard_normal((6, 64))
    package, again = (made(tmp_path / d, module, sample={"input": x}) for d in "ab")
    assert Session.open(package).signature.inputs[0].datatype == "BF16"
    assert package.manifest.parity is not None
    assert package.manifest.parity.max_rel_error <= 1e-4
    assert package.digest == again.digest
    assert b"site-packages" not in package.model_path.read_bytes(), "no paths of this machine"


def test_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).half()
    x = np.random.default_rng(0).standard_normal((6, 16))
    package = made(tmp_path, module, sample={"input": x}, limits=Limits(rtol=1e-2))
    assert package.manifest.parity is not None
    assert package.manifest.parity.loosened
    assert run(package, input=x.astype(np.float16))["output"].dtype == np.float16


class Noisy(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return x + torch.randn_like(x)


class Wordy(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return {"label": "cat", "x": x}


def test_what_cannot_be_packaged_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="answers differently to the same input"):
        made(tmp_path, Noisy(), sample={"x": np.ones((2, 3))})
    with pytest.raises(BadArtefact, match=r"returns a str \('label'\)"):
        made(tmp_path, Wordy(), sample={"x": np.ones((2, 3))})


@pytest.mark.slow
def test_a_broken_exporter_is_caught(tmp_path: Path, cnn: Any, digits: tuple[Array, Array], monkeypatch: Any) -> None:
    """One weight of what the exporters write is changed: neither ONNX may be used; a broken program is refused."""
    import onnx
    from gantline.builders import from_torch_programs as programs
    from onnx import numpy_helper

    def broken(write: Any) -> Any:
        def changed(job: Any) -> Path:
            path: Path = write(job)
            model = onnx.load(path)
            weight = next(w for w in model.graph.initializer if len(w.dims) == 2)
            values = numpy_helper.to_array(weight).copy()
            values[0, 0] += 0.05
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
            onnx.save(model, path)
            return path

        return changed

    monkeypatch.setattr(programs, "by_dynamo", broken(programs.by_dynamo))
    monkeypatch.setattr(programs, "by_legacy", broken(programs.by_legacy))
    package = made(tmp_path, cnn, sample={"image": digits[0][:20]})
    assert package.manifest.engine == "torch"
    assert "relative error" in package.manifest.engine_reason
    from gantline.builders import from_torch

    # and if the choice among programs were blind too, parity of the package itself still is not
    monkeypatch.setattr(from_torch, "_disagreement", lambda *_: "")
    with pytest.raises(VerificationFailed, match="output 'output'"):
        made(tmp_path, cnn, name="blind", sample={"image": digits[0][:20]})
    assert not (tmp_path / "blind.pkg").exists()
