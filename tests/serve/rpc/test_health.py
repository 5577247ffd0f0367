"""grpc.health.v1: what it says follows readiness, and whoever watches hears of each change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.serve.rpc.gate import HEALTH_SERVICE as HEALTH
from gantline.serve.rpc.health import NOT_SERVING, SERVICE_UNKNOWN, SERVICES, SERVING
from gantline.serve.rpc.statuses import Code

from gantline.pb import message

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc, Talk


def question(service: str = "") -> Any:
    return message("grpc.health.v1.HealthCheckRequest")(service=service)


def status(answer: bytes | None) -> int:
    assert answer is not None
    return int(message("grpc.health.v1.HealthCheckResponse").FromString(answer).status)


def watching(rpc: Rpc, service: str = "") -> Talk:
    talk = rpc.open(f"/{HEALTH}/Watch")
    talk.put(question(service))
    talk.half_close()
    return talk


def test_check_and_list(rpc: Rpc) -> None:
    for service in SERVICES:
        assert status(rpc.ask(f"/{HEALTH}/Check", question(service))) == SERVING
    assert rpc.refused(f"/{HEALTH}/Check", question("other"))[0] == Code.NOT_FOUND
    listed = message("grpc.health.v1.HealthListResponse").FromString(rpc.ask(f"/{HEALTH}/List", b""))
    assert {k: v.status for k, v in listed.statuses.items()} == dict.fromkeys(SERVICES, SERVING)


def test_a_watch_hears_of_each_change(own_rpc: Callable[..., Rpc], zoo: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx")
    watch, gone = watching(rpc), watching(rpc)
    unknown = watching(rpc, "other")
    assert status(watch.next()) == status(gone.next()) == SERVING and status(unknown.next()) == SERVICE_UNKNOWN
    gone.leave()
    readiness = rpc.server.stack.readiness
    for others, wanted in ((False, NOT_SERVING), (True, SERVING)):
        rpc.server.on_loop(lambda others=others: setattr(readiness, "others", others))  # type: ignore[misc]
        assert status(watch.next()) == wanted
    rpc.server.on_loop(rpc.server.stack.drain)
    assert status(rpc.ask(f"/{HEALTH}/Check", question())) == NOT_SERVING
    assert status(watch.next()) == NOT_SERVING and watch.status is None
    rpc.server.on_loop(rpc.service.stop)
    assert watch.rest() == [] and watch.status == (0, "")
    assert unknown.rest() == [] and gone.silent and gone.status is None


def test_a_watch_hears_of_the_end_even_when_it_comes_at_once(own_rpc: Callable[..., Rpc], zoo: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx")
    watch = watching(rpc)
    assert status(watch.next()) == SERVING

    def end() -> None:
        rpc.server.stack.drain()
        rpc.service.stop()

    rpc.server.on_loop(end)
    assert [status(a) for a in watch.rest()] == [NOT_SERVING]


def test_who_asks_wrongly(rpc: Rpc) -> None:
    talk = rpc.open(f"/{HEALTH}/Watch")
    talk.put(b"\xff")
    assert talk.rest() == [] and talk.status is not None and talk.status[0] == Code.INVALID_ARGUMENT
    twice = watching(rpc)
    twice.put(question("other"))
    assert status(twice.next()) == SERVING and twice.silent
    twice.leave()
