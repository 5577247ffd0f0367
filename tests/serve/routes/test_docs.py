"""/docs over a socket: its files and their policy, the list, one model's details, its sample; with keys and without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gantline.serve import page
from gantline.serve.routes import docs

import gantline
from gantline.wire.v2 import decode_request
from tests.serve.key_table import BOSS, SCORER, SOME, key_table, write_keys

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running


def get(server: Running, path: str, *headers: str) -> Answer:
    (answer,) = server.ask(server.get(path, *headers))
    return answer


def test_the_page_and_all_that_it_names(server: Running) -> None:
    found = get(server, "/docs")
    assert found.status == 200 and found.headers["content-type"] == "text/html; charset=utf-8"
    names = set(re.findall(r'(?:src|href)="(/docs/[^"]+)"', found.body.decode()))
    seen: set[str] = set()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        part = get(server, name)
        assert part.status == 200 and part.headers["content-security-policy"] == docs.POLICY, name
        names |= {f"/docs/{one}" for one in re.findall(r'from "\./([a-z]+\.js)"', part.body.decode())}
    assert {"/docs/page.js", "/docs/page.css", "/docs/icon.svg", "/docs/ask.js", "/docs/picture.js"} <= seen
    assert {f"/docs/{p.name}" for p in Path(page.__path__[0]).glob("*.js")} <= seen


def test_nothing_of_it_is_inline_or_from_elsewhere(server: Running) -> None:
    found = get(server, "/docs")
    text = found.body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", text)
    for file in Path(page.__path__[0]).iterdir():
        if file.suffix in (".html", ".css", ".js"):
            assert not re.search(r"https?://(?!127)", file.read_text()), file.name
    assert "'unsafe" not in docs.POLICY and "default-src 'none'" in docs.POLICY
    for name in ("x-content-type-options", "referrer-policy", "cross-origin-opener-policy"):
        assert found.headers[name]


def test_an_unchanged_file_is_not_sent_again(server: Running) -> None:
    tag = get(server, "/docs/page.js").headers["etag"]
    assert get(server, "/docs/page.js", f"if-none-match: {tag}").status == 304
    assert get(server, "/docs/nothing.js").status == 404 and get(server, "/docs/page.html").status == 404


def test_the_list_comes_in_parts(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "ROWS", 2)
    first, rest = get(server, "/docs/models").json(), get(server, "/docs/models?from=2").json()
    assert first["total"] == rest["total"] == 5
    assert [m["name"] for m in first["models"] + rest["models"]] == ["centre", "double", "lookup", "positive"]
    assert first["models"][0] == {"name": "centre", "version": "1", "state": "READY", "reason": ""}
    assert [m["name"] for m in get(server, "/docs/models?match=OU").json()["models"]] == ["double"]
    assert get(server, "/docs/models?from=x").status == get(server, "/docs/models?from=-1").status == 400


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, zoo: Path) -> Path:
    rows = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows.write_text("a,b,c\n" + "1.5,2,3\n" * 10)
    return gantline.package(zoo / "double.onnx", name="double", sample=rows, output=rows.with_name("double.pkg")).path


@pytest.fixture(scope="module")
def guarded(
    servers: Callable[..., Running], package: Path, zoo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    keys = write_keys(tmp_path_factory.mktemp("keys"), key_table("double"))
    return servers(package, zoo / "centre.onnx", keys=keys)


def test_one_models_details(guarded: Running) -> None:
    found = get(guarded, "/docs/models/double", f"x-api-key: {BOSS}").json()
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}] and found["state"] == "READY"
    assert found["digest"].startswith("sha256:") and found["parity"]["rows"] == 10 and found["recorded"]
    assert found["lineage"]["source"] == "double.onnx" and found["versions"] == ["1"]


def test_who_may_see_what(guarded: Running) -> None:
    assert get(guarded, "/docs").status == get(guarded, "/docs/page.js").status == 200  # it holds nothing
    for path in ("/docs/models", "/docs/models/double", "/docs/models/double/sample"):
        assert get(guarded, path).status == 401
        assert get(guarded, path, f"x-api-key: {SOME}").status == 200
    for path in ("/docs/models/centre", "/docs/models/centre/sample"):
        assert get(guarded, path, f"x-api-key: {SOME}").status == 403
    mine = get(guarded, "/docs/models", f"x-api-key: {SOME}").json()
    assert (mine["total"], mine["models"][0]["name"]) == (1, "double")
    assert "lineage" not in get(guarded, "/docs/models/double", f"x-api-key: {SCORER}").json()


def test_the_golden_samples_first_row(guarded: Running) -> None:
    answer = get(guarded, "/docs/models/double/sample", f"x-api-key: {SCORER}")
    assert answer.headers["x-gantline-sample"] == "golden"
    length = int(answer.headers["inference-header-content-length"])
    assert np.array_equal(decode_request(answer.body, length).inputs["x"], np.array([[1.5, 2, 3]], np.float32))
    sent = guarded.post(
        "/v2/models/double/infer", answer.body, f"Inference-Header-Content-Length: {length}", f"x-api-key: {SCORER}"
    )
    assert guarded.ask(sent)[0].json()["outputs"][0]["data"] == [3.0, 4.0, 6.0]
    zeros = get(guarded, "/docs/models/centre/sample", f"x-api-key: {SCORER}")
    assert zeros.headers["x-gantline-sample"] == "zeros"


def test_unknown_models_and_versions(server: Running) -> None:
    for path in ("/docs/models/none", "/docs/models/double?version=9", "/docs/models/double/sample?version=x"):
        answer = get(server, path)
        assert answer.status == 404 and answer.json()["error"]


def test_a_model_that_is_not_loaded_is_shown_by_its_package(servers: Callable[..., Running], package: Path) -> None:
    server = servers(package, model_control="explicit")
    found = get(server, "/docs/models/double").json()
    assert found["state"] == "UNAVAILABLE" and found["inputs"][0]["name"] == "x"
    assert "version" not in get(server, "/docs/models").json()["models"][0]


def test_a_model_that_its_first_request_loads_is_ready(servers: Callable[..., Running], package: Path) -> None:
    found = get(servers(package, load="on-demand"), "/docs/models/double").json()
    assert found["state"] == "READY" and "first request" in found["reason"] and found["inputs"]


def test_other_peoples_pages_get_nothing(server: Running) -> None:
    theirs = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Origin: https://evil.example")
    for path in ("/openapi.json", "/docs/models", "/docs/models/double", "/docs/page.js"):
        assert get(server, path, *theirs).status == 403
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
    assert get(server, "/docs", *link).status == 200


def test_a_thousand_models_make_a_small_answer() -> None:
    row = {"name": "model-with-a-usual-name-0001", "version": "1", "state": "READY", "reason": ""}
    assert len(json.dumps([row] * docs.ROWS)) < 50_000
