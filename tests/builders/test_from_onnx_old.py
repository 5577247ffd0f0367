"""Old ONNX files: as CNTK and MXNet wrote them (made again by tests/builders/old_onnx.py) and those that onnx ships.

None of CNTK's and MXNet's own files is here: theirs are large, and their makers no longer publish them. What is
typical of them is written down in old_onnx.py, and is what these tests hold.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.builders import pack
from gantline.builders.canonical import canonicalise
from onnx import ModelProto, numpy_helper
from onnx.reference import ReferenceEvaluator

import gantline
from gantline.errors import VerificationFailed
from gantline.packages import Package
from gantline.tensors import Array
from tests.builders.old_onnx import OPERATORS, cntk_mnist, cntk_rnn, mxnet_block, one_operator

Packager = Callable[..., Package]
Serving = Callable[..., AbstractContextManager[str]]
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
RANDOM = np.random.default_rng(11)


def written(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def inputs_of(package: Package) -> dict[str, Array]:
    signature = package.manifest.signature
    assert signature is not None
    return {t.name: RANDOM.standard_normal([abs(d) for d in t.shape]).astype(np.float32) for t in signature.inputs}


def by_reference(model: ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    names = [o.name for o in model.graph.output]
    found: Any = ReferenceEvaluator(model).run(names, inputs)
    return dict(zip(names, found, strict=True))


def flat_softmax(x: Array) -> Array:
    raised = np.exp(x)
    scores: Array = np.divide(raised, raised.sum(tuple(range(1, x.ndim)), keepdims=True))
    return scores


def flat_hardmax(x: Array) -> Array:
    flat = x.reshape(len(x), -1)
    best: Array = np.arange(flat.shape[1]) == flat.argmax(1, keepdims=True)
    return best.astype(np.float32).reshape(x.shape)


def lrn(x: Array) -> Array:
    near = [(x[:, max(c - 1, 0) : c + 2] ** 2).sum(1) for c in range(x.shape[1])]
    wide: Array = x / (1 + 1e-4 / 3 * np.stack(near, 1)) ** 0.75
    return wide


def scattered(x: Array) -> Array:
    update = next(a for op, _, _, a in OPERATORS if op == "Scatter")["weights"]["u"]
    out = x.copy()
    out[:, [2, 0]] = update
    return out


# where onnx's reference evaluator has no form of that age, or only the newest one's meaning
BY_NUMPY: dict[tuple[str, int], Callable[[Array], Array]] = {
    ("Upsample", 7): lambda x: x.repeat(2, 2).repeat(2, 3),
    ("Softmax", 7): flat_softmax,
    ("Hardmax", 7): flat_hardmax,
    ("LRN", 7): lrn,
    ("Scatter", 9): scattered,
    ("ImageScaler", 7): lambda x: x * 0.5 + np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1),
    ("Crop", 7): lambda x: x[:, :, 1:4, 1:3],
}


@pytest.mark.parametrize(("operator", "opset", "shape", "said"), OPERATORS, ids=[f"{o[0]}-{o[1]}" for o in OPERATORS])
def test_operators_in_their_old_form(
    packaged: Packager, tmp_path: Path, operator: str, opset: int, shape: list[int], said: dict[str, Any]
) -> None:
    model = one_operator(operator, opset, shape, **said)
    package = packaged(written(model, tmp_path / "m.onnx"))
    assert package.manifest.parity is not None and package.manifest.parity.max_abs_error == 0
    x = inputs_of(package)["x"]
    by_hand = BY_NUMPY.get((operator, opset))
    want: Any = by_hand(x) if by_hand is not None else by_reference(model, {"x": x})["y"]
    session = Session.open(package)
    (got,) = session.run({"x": x}, ["y"])
    assert got.shape == want.shape == session.signature.outputs[0].shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    session.close()


def test_served_under_their_own_names(tmp_path: Path, serving: Serving) -> None:
    """CNTK's picture and sequence models and MXNet's block, through a real server: odd names and all."""
    models = {"mnist": cntk_mnist(), "rnn": cntk_rnn(), "block": mxnet_block(9, None, (6, 1, 1))}
    packages = {}
    for name, model in models.items():
        path = written(model, tmp_path / f"{name}.onnx")
        packages[name] = gantline.package(path, name=name, output=tmp_path / "all" / f"{name}.pkg")
        listed = onnx.load(packages[name].model_path)
        assert len(listed.graph.input) == 1 and listed.ir_version == 4, "weights are no inputs"
    assert packages["rnn"].manifest.batching.max_batch_size == 0, "its free axis is time"
    with serving(tmp_path / "all") as url, gantline.Client(url) as client:
        for name, package in packages.items():
            inputs = inputs_of(package)
            if name == "rnn":
                inputs = {
                    n: a.repeat(5, 0) * np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1) for n, a in inputs.items()
                }
            got = client.infer(name, inputs)
            session = Session.open(package)
            want = dict(zip(session.output_names, session.run(inputs), strict=True))
            if name != "block":  # the reference takes MXNet's momentum for training
                want = by_reference(models[name], inputs)
            assert set(want) == {o.name for o in models[name].graph.output}
            for output, array in want.items():
                np.testing.assert_allclose(got[output], array, rtol=1e-4, atol=1e-5)
            session.close()


def test_a_conversion_that_is_wrong_by_a_little_is_caught(
    packaged: Packager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: BatchNormalization's epsilon lost on the way, as a default would be."""

    def broken(source: Path, target: Path) -> list[Path]:
        files = canonicalise(source, target)
        model = onnx.load(target)
        (node,) = (n for n in model.graph.node if n.op_type == "BatchNormalization")
        next(a for a in node.attribute if a.name == "epsilon").f = 2e-2
        onnx.save(model, target)
        return files

    monkeypatch.setattr(pack, "canonicalise", broken)
    with pytest.raises(VerificationFailed, match="does not agree with its source: output 'softmax0'"):
        packaged(written(mxnet_block(8, None, (6, 1, 1)), tmp_path / "m.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda p: p.stem)
def test_all_topologies_that_onnx_ships(packaged: Packager, path: Path) -> None:
    """Opset 9 with ir_version 3, by Caffe2's exporter; against the outputs that lie beside them."""
    package = packaged(path)
    signature = package.manifest.signature
    assert signature is not None and len(signature.inputs) == 1 and package.manifest.parity is not None
    shape = signature.inputs[0].shape
    size = int(np.prod(shape))
    want = numpy_helper.to_array(onnx.load_tensor(str(path.with_name(f"{path.stem}_output_0.pb"))))
    session = Session.open(package)
    got = session.run({signature.inputs[0].name: (np.arange(size) / size).astype(np.float32).reshape(shape)})[0]
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-7)
    assert len(replay(session)) == 1
    session.close()
