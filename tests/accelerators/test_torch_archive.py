"""An exported program that would run somebody's code on loading is refused before torch sees it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gantline.accelerators.torch_archive import EXPORTED, OTHER, PICKLED, check_exported, kind_of

from gantline.errors import BadArtefact

torch = pytest.importorskip("torch")
engine = pytest.importorskip("gantline.accelerators.torch")
pytestmark = pytest.mark.torch
Change = Callable[[dict[str, Any]], None]


class Small(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x: Any, other: Any) -> Any:
        return {"score": self.linear(x)[: x.shape[0] // 2 + 1], "plus": torch.cat([x, other]), "sum": other.sum(0)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "model.pt2"
    auto = {0: torch.export.Dim.AUTO}
    example = (torch.zeros(4, 4), torch.zeros(3, 4))
    with engine.quiet():
        program = torch.export.export(Small().eval(), example, dynamic_shapes={"x": auto, "other": auto})
        torch.export.save(program, path)
    return path


def rewritten(path: Path, to: Path, change: Change, more: dict[str, bytes] | None = None) -> Path:
    """The same archive with its model.json changed and records added, written as torch writes it."""
    reader = torch._C.PyTorchFileReader(str(path))
    writer = torch._C.PyTorchFileWriter(str(to))
    for name in reader.get_all_records():
        data = reader.get_record(name)
        if name == "models/model.json":
            tree = json.loads(data)
            change(tree)
            data = json.dumps(tree).encode()
        if name not in ("byteorder", ".data/serialization_id", ".data/version", "version", *(more or {})):
            writer.write_record(name, data, len(data))
    for name, data in (more or {}).items():
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return to


def first_node(tree: dict[str, Any]) -> dict[str, Any]:
    found = tree["graph_module"]["graph"]["nodes"][0]
    assert isinstance(found, dict)
    return found


def test_an_honest_program_passes(exported: Path, tmp_path: Path) -> None:
    check_exported(exported)
    same = rewritten(exported, tmp_path / "same.pt2", lambda tree: None)
    check_exported(same)
    engine.load_exported(same)
    assert b"expr_str" in torch._C.PyTorchFileReader(str(exported)).get_record("models/model.json")


CANARY = "__import__('pathlib').Path({!r}).touch()"


def in_expression(code: str) -> Change:
    def change(tree: dict[str, Any]) -> None:
        def walk(x: Any) -> None:
            if isinstance(x, dict):
                if "expr_str" in x:
                    x["expr_str"] = code
                for v in x.values():
                    walk(v)
            elif isinstance(x, list):
                for v in x:
                    walk(v)

        walk(tree)

    return change


def test_an_expression_runs_as_code_in_torch_and_is_refused_here(exported: Path, tmp_path: Path) -> None:
    """First the attack itself, so that this test fails when there is nothing left to guard against."""
    canary = tmp_path / "canary"
    bad = rewritten(exported, tmp_path / "bad.pt2", in_expression(CANARY.format(str(canary))))
    with pytest.raises(BadArtefact, match="an expression"):
        engine.load_exported(bad)
    assert not canary.exists()
    with engine.quiet(), pytest.raises(Exception):  # noqa: B017  # what it dies of after the deed is torch's affair
        torch.export.load(str(bad))
    assert canary.exists()


def set_target(target: str) -> Change:
    return lambda tree: first_node(tree).update(target=target)


def set_name(tree: dict[str, Any]) -> None:
    tree["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=print(1)"


def set_guard(tree: dict[str, Any]) -> None:
    tree["guards_code"] = ["[c for c in ().__class__.__base__.__subclasses__()]"]


def set_structure(tree: dict[str, Any]) -> None:
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = signature["in_spec"].replace(
        '"builtins.tuple", "context": "null"',
        '"collections.defaultdict", "context": "{\\"default_factory_module\\": \\"antigravity\\"}"',
        1,
    )
    assert "antigravity" in signature["in_spec"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_target("torch.os.system"), "an operator 'torch.os.system'"),
        (set_target("torch.ops.load_library"), "an operator"),
        (set_target("torch.ops.aten.__class__.mro"), "an operator"),
        (set_target("_operator.attrgetter"), "an operator"),
        (set_target("#bad:op"), "an operator"),
        (set_name, "a name"),
        (set_guard, "an expression"),
        (set_structure, "an argument structure"),
        (in_expression("s0.__class__"), "an expression"),
        (in_expression("exit()"), "an expression"),
        (in_expression("Symbol('os.system(1)')"), "an expression"),
    ],
)
def test_each_way_in_is_closed(exported: Path, tmp_path: Path, change: Change, says: str) -> None:
    bad = rewritten(exported, tmp_path / "bad.pt2", change)
    with pytest.raises(BadArtefact, match=says):
        check_exported(bad)


def test_pickles_inside_are_refused(exported: Path, tmp_path: Path) -> None:
    for name in ("data/constants/opaque_obj_0", "data/aotinductor/model/x.so"):
        bad = rewritten(exported, tmp_path / "bad.pt2", lambda tree: None, {name: b"x"})
        with pytest.raises(BadArtefact, match="code or a pickle"):
            check_exported(bad)
    config = b'{"config": {"w": {"path_name": "weight_0", "is_param": true, "use_pickle": true, "tensor_meta": null}}}'
    more = {"data/weights/model_weights_config.json": config}
    bad = rewritten(exported, tmp_path / "bad.pt2", lambda tree: None, more)
    with pytest.raises(BadArtefact, match="use_pickle"):
        check_exported(bad)


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_sample_inputs_are_not_unpickled_as_objects(exported: Path, tmp_path: Path) -> None:
    canary, sample = tmp_path / "canary", tmp_path / "sample.pt"
    torch.save((Touch(canary),), sample)
    more = {"data/sample_inputs/model.pt": sample.read_bytes()}
    bad = rewritten(exported, tmp_path / "bad.pt2", lambda tree: None, more)
    with pytest.raises(BadArtefact, match=r"bad\.pt2: cannot be loaded"):
        engine.load_exported(bad)
    assert not canary.exists()


def test_kinds(exported: Path, tmp_path: Path) -> None:
    assert kind_of(exported) == EXPORTED
    torch.save({"w": torch.ones(1)}, tmp_path / "state.pt")
    assert kind_of(tmp_path / "state.pt") == PICKLED
    torch.save({"w": torch.ones(1)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert kind_of(tmp_path / "old.pt") == "old torch.save"
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert kind_of(tmp_path / "plain.pkl") == OTHER
    assert kind_of(tmp_path / "missing") == OTHER
