"""Forms of torch sources: files, weights with their class, pkg.mod:object; and what must be refused."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.builders.pack import pack
from gantline.builders.source import Source

from gantline.errors import BadArtefact, UsageError
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


def truth(model: Any, *inputs: Array) -> Any:
    """What the module answers in evaluation mode, leaving it in the mode it was in."""
    was = model.training
    model.eval()
    with torch.no_grad():
        found = model(*(torch.from_numpy(a) for a in inputs))
    model.train(was)
    return found


def run(package: Package, **inputs: Array) -> dict[str, Array]:
    session = Session.open(package)
    found = dict(zip(session.output_names, session.run(inputs), strict=True))
    session.close()
    return found


SHOP = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self, width=4, classes=3):
            super().__init__()
            self.a = torch.nn.Linear(width, classes)
        def forward(self, x):
            return torch.softmax(self.a(x), 1)
        def gantline_sample(self):
            return torch.ones(2, self.a.in_features)

    torch.manual_seed(3)
    net = Net()
    def make(width=4): return Net(width)
    class Estimator:
        pass
    thing = Estimator()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user's directory with a module of models, which is the working directory."""
    (tmp_path / "torch_shop.py").write_text(textwrap.dedent(SHOP))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "torch_shop", raising=False)
    import importlib

    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("torch_shop")


@pytest.mark.parametrize("suffix", [".pt", pytest.param(".safetensors", marks=pytest.mark.slow)])
def test_weights_with_their_class(tmp_path: Path, shop: Any, suffix: str) -> None:
    module = shop.Net(5, 2)
    path = tmp_path / f"state{suffix}"
    if suffix == ".pt":
        torch.save({"epoch": 3, "state_dict": module.state_dict()}, path)
    else:
        from safetensors.torch import save_file

        save_file(module.state_dict(), path)
    source = Source("m", path=path, module="torch_shop:Net", init={"width": 5, "classes": 2})
    x = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    found = run(pack(source, tmp_path / "m.pkg"), x=x)["output"]
    np.testing.assert_allclose(found, truth(module, x).numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    "reference", ["torch_shop:make", *(pytest.param(f"torch_shop:{n}", marks=pytest.mark.slow) for n in ("net", "Net"))]
)
def test_an_object_of_a_module(tmp_path: Path, shop: Any, reference: str) -> None:
    package = pack(Source("m", reference=reference), tmp_path / "m.pkg")
    assert package.manifest.source is not None
    assert package.manifest.source.type == "torch_shop.Net"
    assert package.manifest.parity is not None
    assert package.manifest.parity.sample == "synthetic"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("torch_shop:nothing", "has no 'nothing'"),
        ("no_such_module_here:net", "importing no_such_module_here fails"),
        ("torch_shop:", "expected pkg.mod:name"),
    ],
)
def test_references_that_lead_nowhere(tmp_path: Path, shop: Any, reference: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        pack(Source("m", reference=reference), tmp_path / "m.pkg")


def test_a_reference_to_something_else(tmp_path: Path, shop: Any) -> None:
    with pytest.raises(BadArtefact, match="expected a fitted scikit-learn estimator, a booster, a torch module"):
        pack(Source("m", reference="torch_shop:thing"), tmp_path / "m.pkg")


def test_an_argument_that_the_class_does_not_take(tmp_path: Path, shop: Any) -> None:
    with pytest.raises(UsageError, match="unexpected keyword argument 'depth'"):
        pack(Source("m", reference="torch_shop:Net", init={"depth": 3}), tmp_path / "m.pkg")


def test_a_bare_state_dict_gets_the_command(tmp_path: Path, shop: Any) -> None:
    torch.save(shop.net.state_dict(), tmp_path / "state.pt")
    with pytest.raises(BadArtefact, match=r"gantline package .*state\.pt --module pkg\.mod:Class .*--name shop") as e:
        pack(Source("shop", path=tmp_path / "state.pt"), tmp_path / "m.pkg")
    assert "\n" not in e.value.message
    assert not (tmp_path / "m.pkg").exists()


def test_weights_of_another_class(tmp_path: Path, shop: Any) -> None:
    torch.save({"b.weight": torch.ones(3, 4)}, tmp_path / "state.pt")
    with pytest.raises(BadArtefact, match=r"does not fit torch_shop:Net: .*Missing key"):
        pack(Source("m", path=tmp_path / "state.pt", module="torch_shop:Net"), tmp_path / "m.pkg")


def test_a_pickled_module_is_not_loaded(tmp_path: Path, shop: Any) -> None:
    torch.save(shop.net, tmp_path / "whole.pt")
    with pytest.raises(BadArtefact, match=r"whole pickled object.*torch\.save\(model\.state_dict\(\)"):
        pack(Source("m", path=tmp_path / "whole.pt"), tmp_path / "m.pkg")


@pytest.mark.slow
def test_a_pickled_module_that_is_trusted_is_loaded_by_a_child(tmp_path: Path, shop: Any) -> None:
    torch.save(shop.net, tmp_path / "whole.pt")
    package = pack(Source("m", path=tmp_path / "whole.pt", trust_pickle=True), tmp_path / "m.pkg")
    assert package.manifest.engine == "onnx"
    assert package.manifest.source is not None
    assert package.manifest.source.type == "torch_shop.Net"
    assert any("--trust-pickle" in n for n in package.manifest.notes)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_allclose(run(package, x=x)["output"], truth(shop.net, x).numpy(), rtol=1e-5)


class Evil:
    """Writes its process's number to a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return exec, (f"import os; open({str(self.path)!r}, 'w').write(str(os.getpid()))",)


def test_a_malicious_file_never_runs_here(tmp_path: Path) -> None:
    import os

    canary = tmp_path / "canary"
    torch.save({"weights": torch.ones(1), "evil": Evil(canary)}, tmp_path / "evil.pt")
    with pytest.raises(BadArtefact, match="--trust-pickle"):
        pack(Source("m", path=tmp_path / "evil.pt"), tmp_path / "m.pkg")
    with pytest.raises(BadArtefact, match="whole pickled object"):
        pack(Source("m", path=tmp_path / "evil.pt", module="torch_shop:Net", trust_pickle=True), tmp_path / "m.pkg")
    assert not canary.exists()
    with pytest.raises(BadArtefact, match=r"is a builtins\.dict, expected a torch\.nn\.Module"):
        pack(Source("m", path=tmp_path / "evil.pt", trust_pickle=True), tmp_path / "m.pkg")
    assert int(canary.read_text()) != os.getpid()


def export(module: Any, path: Path, args: tuple[Any, ...], free: bool = True) -> Path:
    auto = {0: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = tuple(auto for _ in args) if free else None
        torch.export.save(torch.export.export(module.eval(), args, dynamic_shapes=shapes), path)
    return path


def test_an_exported_program_needs_no_sample(tmp_path: Path, shop: Any) -> None:
    path = export(shop.net, tmp_path / "net.pt2", (torch.randn(2, 4),))
    package = pack(Source("m", path=path), tmp_path / "m.pkg")
    assert package.manifest.engine == "onnx"
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_allclose(run(package, x=x)["output"], truth(shop.net, x).numpy(), rtol=1e-5)


def test_an_exported_program_of_one_batch_size_says_so(tmp_path: Path, shop: Any) -> None:
    path = export(shop.net, tmp_path / "net.pt2", (torch.randn(4, 4),), free=False)
    package = pack(Source("m", path=path), tmp_path / "m.pkg")
    assert Session.open(package).signature.inputs[0].shape == (4, 4)
    assert package.manifest.batching.max_batch_size == 0
    assert any("batch size is fixed" in n for n in package.manifest.notes)


def test_torchscript(tmp_path: Path, shop: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(shop.net).save(str(tmp_path / "net.pt"))
    with pytest.raises(UsageError, match=r"needs example inputs for x: pass --sample"):
        pack(Source("m", path=tmp_path / "net.pt"), tmp_path / "m.pkg")
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    package = pack(Source("m", path=tmp_path / "net.pt", sample={"": x.astype(np.float64)}), tmp_path / "m.pkg")
    np.testing.assert_allclose(run(package, x=x)["output"], truth(shop.net, x).numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", ["m.pt", "m.pt2", "m.safetensors", "m.ckpt"])
@pytest.mark.parametrize("content", [b"", b"\x00garbage" * 9, b"PK\x03\x04cut"])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadArtefact, match=name) as e:
        pack(Source("m", path=tmp_path / name), tmp_path / "m.pkg")
    assert "\n" not in e.value.message
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_truncated_files(tmp_path: Path, shop: Any) -> None:
    torch.save(shop.net.state_dict(), tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadArtefact, match=r"cut\.pt: "):
        pack(Source("m", path=tmp_path / "cut.pt", module="torch_shop:Net"), tmp_path / "m.pkg")
