"""gRPC with keys: every method has its rule, keys of some models reach no other, and rotation is felt at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.access import Access
from gantline.serve.keys import parse
from gantline.serve.rpc.gate import HEALTH_SERVICE, REFLECTION, RULES, SERVICE, Gate
from gantline.serve.rpc.statuses import Code

from gantline.errors import Denied
from gantline.pb import message, pool
from gantline.tensors import Array
from tests.serve.key_table import BOSS, SCORER, SOME, key_table, write_keys

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

FILE = key_table("double")
STREAM = f"/{SERVICE}/ModelStreamInfer"
REFLECT = f"/{REFLECTION[0]}.ServerReflection/ServerReflectionInfo"


@pytest.fixture(scope="module")
def guarded(own_rpc: Callable[..., Rpc], zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Rpc:
    path = write_keys(tmp_path_factory.mktemp("keys"), FILE)
    return own_rpc(zoo / "double.onnx", zoo / "centre.onnx", keys=path)


def code(rpc: Rpc, method: str, found: Any, key: str) -> Code:
    talk = rpc.start(method if method.startswith("/") else f"/{SERVICE}/{method}", found, authorization=f"Bearer {key}")
    talk.rest()
    assert talk.status is not None
    return Code(talk.status[0])


def request(kind: str, /, **fields: Any) -> Any:
    return message(f"inference.{kind}Request")(**fields)


def test_every_method_has_a_rule() -> None:
    services = [SERVICE, HEALTH_SERVICE, *(f"{p}.ServerReflection" for p in REFLECTION)]
    assert set(RULES) == {f"/{s}/{m.name}" for s in services for m in pool().FindServiceByName(s).methods}


@pytest.mark.parametrize(
    ("method", "fields", "codes"),
    [
        ("ServerReady", {}, {"": 0, SCORER: 0, SOME: 0, BOSS: 0}),
        ("ServerMetadata", {}, {"": 16, SCORER: 0, SOME: 0, BOSS: 0}),
        ("ModelReady", {"name": "double"}, {"": 16, SCORER: 0, SOME: 0, BOSS: 0}),
        ("ModelConfig", {"name": "centre"}, {"": 16, SCORER: 0, SOME: 7, BOSS: 0}),
        ("ModelStatistics", {"name": "double"}, {"": 16, SCORER: 0, SOME: 0, BOSS: 0}),
        ("ModelStatistics", {}, {"": 16, SCORER: 0, SOME: 7, BOSS: 0}),
        ("RepositoryIndex", {}, {"": 16, SCORER: 0, SOME: 7, BOSS: 0}),
        ("RepositoryModelUnload", {"model_name": "nope"}, {"": 16, SCORER: 7, SOME: 7, BOSS: 5}),
        ("TraceSetting", {"model_name": "double"}, {"": 16, SCORER: 7, SOME: 7, BOSS: 0}),
        ("LogSettings", {}, {"": 16, SCORER: 7, SOME: 7, BOSS: 0}),
        ("SystemSharedMemoryStatus", {}, {"": 16, SCORER: 7, SOME: 7, BOSS: 0}),
        ("CudaSharedMemoryUnregister", {}, {"": 16, SCORER: 7, SOME: 7, BOSS: 0}),
    ],
)
def test_who_may(guarded: Rpc, method: str, fields: dict[str, str], codes: dict[str, int]) -> None:
    assert {key: code(guarded, method, request(method, **fields), key) for key in codes} == codes


def test_inference(guarded: Rpc, asked: Callable[..., Any], row: Array) -> None:
    double, centre = asked("double", row), asked("centre", row[0])
    for key, codes in {"": (16, 16, 16), "x" * 30: (16, 16, 16), SCORER: (0, 0, 3), SOME: (0, 7, 3)}.items():
        found = [code(guarded, "ModelInfer", data, key) for data in (double, centre, b"\xff")]
        assert tuple(found) == codes, key


def test_streams(guarded: Rpc, asked: Callable[..., Any], row: Array) -> None:
    for path in (STREAM, REFLECT):
        talk = guarded.open(path)
        assert talk.rest() == [] and talk.status is not None and talk.status[0] == Code.UNAUTHENTICATED
        talk.put(asked("double", row))
        talk.half_close()
        assert talk.silent
    watch = guarded.open(f"/{HEALTH_SERVICE}/Watch")
    watch.put(b"")
    assert watch.next() == b"\x08\x01"
    watch.leave()
    talk = guarded.open(STREAM, **{"x-api-key": SOME})
    for data in (asked("double", row), asked("centre", row[0])):
        talk.put(data)
    talk.half_close()
    first, second = (message("inference.ModelStreamInferResponse").FromString(a) for a in talk.rest())
    assert not first.error_message and second.error_message == "key 'some' is not for model 'centre'"


def test_a_key_that_is_taken_out_ends_with_the_next_message(
    own_rpc: Callable[..., Rpc], zoo: Path, tmp_path: Path, asked: Callable[..., Any], row: Array
) -> None:
    path = write_keys(tmp_path, FILE)
    rpc = own_rpc(zoo / "double.onnx", keys=path)
    talk = rpc.open(STREAM, **{"x-api-key": SCORER})
    talk.put(asked("double", row))
    assert not message("inference.ModelStreamInferResponse").FromString(talk.next() or b"").error_message
    access = rpc.server.stack.access
    assert access is not None
    rpc.server.on_loop(lambda: setattr(access, "keys", parse(FILE.replace(SCORER, "x" * 30), "keys.toml")))
    talk.put(asked("double", row))
    assert "the key is not known" in message("inference.ModelStreamInferResponse").FromString(talk.next()).error_message
    talk.leave()


def test_a_method_without_a_rule_is_nobodys() -> None:
    from gantline.serve.exchange import Head

    access = Access(parse(FILE, "keys.toml"), "health", lambda: "")
    ask = Gate(access).permit("/inference.GRPCInferenceService/New")
    assert ask is not None
    with pytest.raises(Denied, match="no rule"):
        ask(Head(b"POST", b"/x", b"", [(b"x-api-key", BOSS.encode())]), None)
