"""The server's own operations."""

from __future__ import annotations

from gantline.serve.openapi.administration import DOCS, SERVER


def test_settings_are_looked_at_and_changed() -> None:
    found = {(o.method, o.path) for o in SERVER.operations}
    for path in ("/v2/logging", "/v2/trace/setting", "/v2/models/{name}/trace/setting"):
        assert {("get", path), ("post", path)} <= found
    assert 404 in next(o for o in SERVER.operations if o.path.endswith("{name}/trace/setting")).answers


def test_nothing_of_it_asks_a_model() -> None:
    assert not any(o.asks or o.exact for face in (SERVER, DOCS) for o in face.operations)
