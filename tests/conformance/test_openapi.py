"""The OpenAPI document before its public judges: a validator, and schemathesis, which asks a live server by it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

import gantline
from tests.serve.key_table import BOSS, key_table, write_keys

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
Start = Callable[..., Any]
ECHO = """
import json

def init():
    pass

def run(raw_data):
    return {"length": len(raw_data)}
"""
# 501 and 503 are what V2 itself wants where a feature is off, 504 what a client asks for by its own deadline
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501", "503", "504"]
# a shape and the length of its data are not a schema's to compare
positive_data_acceptance.enabled = false
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SCRIPTS = Path(__file__).parent / "azure_scripts"
DECLARED = ("tensors", "nested")  # scripts that declare what they take
# what changes all that comes after; and scripts that fail on what their own schema allows, as they may
LEFT_OUT = rf"/(load|unload)$|/({'|'.join(DECLARED)})/"


@pytest.fixture(scope="module")
def python(rival: Callable[[str], Path]) -> Path:
    """The interpreter that has the judges."""
    return rival("openapi")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, triton_repository: Path) -> list[Path]:
    root = tmp_path_factory.mktemp("script")
    (root / "score.py").write_text(ECHO)
    echo = gantline.package(script=root / "score.py", name="echo", env="current", output=root / "echo.pkg").path
    names = ("same_FP32", "same_BYTES", "scalar_INT8", "defaults", "scores", "versioned", "fixed")
    declared = [gantline.package(SCRIPTS / n, name=n, output=root / f"{n}.pkg").path for n in DECLARED]
    return [echo, *declared, *(triton_repository / name for name in names)]


@pytest.fixture(scope="module")
def url(serving: Start, models: list[Path]) -> Iterator[str]:
    with serving(*models, "--default", "echo") as found:
        yield found


def fetched(url: str, key: str = "") -> Any:
    request = urllib.request.Request(f"{url}/openapi.json", headers={"x-api-key": key} if key else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def posted(url: str, body: bytes) -> urllib.request.Request:
    return urllib.request.Request(url, body, {"content-type": "application/json"})


def judged(python: Path, code: str, given: Any) -> str:
    done = subprocess.run([python, "-c", code], input=json.dumps(given), capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-3000:]
    return done.stdout


def test_it_is_an_openapi_document(python: Path, url: str) -> None:
    code = "import json, sys; from openapi_spec_validator import validate; validate(json.load(sys.stdin))"
    found = fetched(url)
    judged(python, code, found)
    assert len(found["paths"]) > 60


VALID = """
import json, sys
from jsonschema import Draft202012Validator as V
document, pairs = json.load(sys.stdin)
for path, value, wanted in pairs:
    op = document["paths"][path]["post"]
    side = op["requestBody"] if wanted == "request" else op["responses"]["200"]
    schema = side["content"]["application/json"]["schema"]
    errors = [e.message for e in V({**schema, "components": document["components"]}).iter_errors(value)]
    print(json.dumps([path, wanted, errors]))
"""


def test_examples_and_their_answers_are_what_their_schemas_say(python: Path, url: str) -> None:
    document = fetched(url)
    pairs = []
    for path, methods in document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if not methods.get("post", {}).get("x-gantline-asks") or "example" not in content or path.endswith("_stream"):
            continue
        body = json.dumps(content["example"]).encode()
        with urllib.request.urlopen(posted(f"{url}{path}", body), timeout=30) as answer:
            pairs.append((path, content["example"], "request"))
            if not path.startswith(("/models/", "/score", "/invocations")):  # a script may not keep its word
                pairs.append((path, json.load(answer), "answer"))
    assert len(pairs) > 20
    found = [json.loads(line) for line in judged(python, VALID, [document, pairs]).splitlines()]
    assert [one for one in found if one[2]] == []


def test_wrong_requests_are_not_what_the_schema_says(python: Path, url: str) -> None:
    document = fetched(url)
    path = "/v2/models/fixed/infer"
    good = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    (tensor,) = good["inputs"]
    wrong = [
        {}, {"inputs": []}, {"inputs": [tensor, tensor]},
        *({"inputs": [{**tensor, **change}]} for change in (
            {"name": "y"}, {"datatype": "FP64"}, {"shape": [2, 4]}, {"shape": [2]}, {"data": [1, 2]}, {"data": "a"},
            {"data": [["a"] * 3] * 2}, {"data": [[1, 2, 1e39]] * 2},
        )),
        {**good, "outputs": [{"name": "z"}]}, {**good, "id": 3},
    ]  # fmt: skip
    for body in wrong:
        request = posted(f"{url}{path}", json.dumps(body).encode())
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        assert caught.value.code == 400
        caught.value.close()
    pairs = [(path, body, "request") for body in wrong]
    assert all(json.loads(line)[2] for line in judged(python, VALID, [document, pairs]).splitlines())


def fuzzed(python: Path, url: str, folder: Path, *words: str) -> str:
    """What schemathesis says of a server; AssertionError with its report if it finds anything."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(python), "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", CHECKS,
        "--exclude-path-regex", LEFT_OUT,
        "--max-examples", "10", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color", *words,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert not done.returncode, done.stdout[-9000:] + done.stderr[-2000:]
    return done.stdout


def test_nothing_that_the_document_allows_breaks_the_server(python: Path, url: str, tmp_path: Path) -> None:
    fuzzed(python, url, tmp_path)


def test_nor_does_it_with_keys(python: Path, serving: Start, models: list[Path], tmp_path: Path) -> None:
    keys = write_keys(tmp_path, key_table("fixed"))
    with serving(models[0], models[-1], "--keys", keys, "--default", "echo") as url:
        words = ("--header", f"x-api-key: {BOSS}")
        fuzzed(python, url, tmp_path, *words)
