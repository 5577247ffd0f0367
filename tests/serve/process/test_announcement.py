"""What the operator is told; tests/cli/test_serve.py has what comes before and after, from a shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.process.announcement import Announcement, Report, report

import gantline
from gantline.errors import BadArtefact
from gantline.settings import ServeSettings

if TYPE_CHECKING:
    from tests.serve.conftest import Running


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (ServeSettings(), "http://127.0.0.1:5"),
        (ServeSettings(host="::1"), "http://[::1]:5"),
        (ServeSettings(host="0.0.0.0", no_auth=True), "http://127.0.0.1:5"),
        (ServeSettings(tls_certificate="c", tls_key="k"), "https://127.0.0.1:5"),
    ],
)
def test_urls(settings: ServeSettings, url: str) -> None:
    assert Announcement(settings, 5, False).url == url


def test_where_grpc_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert Announcement(ServeSettings(), 5, False).grpc == ""
    said: Report = {"models": [], "failed": [], "attempt": "curl x"}
    Announcement(ServeSettings(host="::1", tls_certificate="c", tls_key="k"), 5, False, 6).ready(said)
    Announcement(ServeSettings(), 5, True, 6).ready(said)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("Gantline listens on https://[::1]:5 (gRPC: [::1]:6) with ")
    assert json.loads(last)["grpc"] == "127.0.0.1:6"


def test_many_models_are_not_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    said: Report = {
        "models": [{"name": f"m{i}", "version": "1", "state": "READY"} for i in range(12)],
        "failed": [{"name": "bad", "version": "2", "reason": "torn"}],
        "attempt": "curl x",
    }
    Announcement(ServeSettings(), 5, False).ready(said)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Gantline listens on http://127.0.0.1:5 with 12 models ready:"
    assert lines[10:] == ["  m9:1", "  and 2 more", "  NOT SERVED bad:2: torn", "Try:", "  curl x"]
    Announcement(ServeSettings(), 5, True).ready(said)
    tree = json.loads(capsys.readouterr().out)
    assert tree == {"url": "http://127.0.0.1:5", "models": said["models"], "failed": said["failed"]}


def test_report(server: Running) -> None:
    found = report(server.stack, [], server.url)
    assert {"name": "double", "version": "1", "state": "READY"} in found["models"]
    assert found["attempt"].startswith(f"curl -s {server.url}/v2/models/")
    json.dumps(found)


def test_a_script_that_yields_is_described_and_not_asked(servers: Callable[..., Running], tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text("INPUTS = OUTPUTS = {'x': ('FP32', [1])}\ndef infer(inputs):\n    yield inputs\n")
    gantline.package(script=script, name="one", output=tmp_path / "one.pkg")
    server = servers(tmp_path / "one.pkg")
    found = server.on_loop(lambda: report(server.stack, [], server.url))
    assert found["attempt"] == f"curl -s {server.url}/v2/models/one"


def test_nothing_to_serve() -> None:
    from gantline.serve.app import build_stack
    from gantline.serve.entry import Entry

    from gantline.settings import resolve

    stack = build_stack(resolve(ServeSettings, {}, {}), [Entry("m", "1", None, problem="m.onnx: torn")])
    with pytest.raises(BadArtefact, match=r"m\.onnx: torn"):
        report(stack, list(stack.repository.slots()), "http://x")
    stack.close()
