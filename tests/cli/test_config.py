"""`gantline config` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gantline.cli import main
from gantline.settings import ServeSettings, resolve


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("GANTLINE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_what_it_prints_is_a_file_that_says_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--max-body-bytes", "3MiB", "--keep-alive-s", "2.5", "--access-log", "--default", 'a "b"']
    assert main(["config", *words]) == 0
    (here / "gantline.toml").write_text(capsys.readouterr().out)
    again = resolve(ServeSettings, {}, {}).settings
    assert (again.max_body_bytes, again.keep_alive_s, again.access_log) == (3 << 20, 2.5, True)
    assert again.default == 'a "b"'
    assert main(["config"]) == 0
    assert capsys.readouterr().out == (here / "gantline.toml").read_text()


def test_explain_says_where_each_value_is_from(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "gantline.toml").write_text('[serve]\nworkers = 2\n[model.iris]\nthreads = 3\n[model."a.b"]\n')
    monkeypatch.setenv("GANTLINE_LOG_LEVEL", "debug")
    assert main(["config", "--explain", "--http-port", "0"]) == 0
    serve, _, models = capsys.readouterr().out.partition("[model.iris]")
    lines = {line.split(" = ")[0]: line.split("  # ")[-1] for line in serve.splitlines()}
    assert '[model."a.b"]' in models
    assert lines["workers"] == "gantline.toml [serve] workers"
    assert lines["log_level"] == "environment GANTLINE_LOG_LEVEL"
    assert lines["http_port"] == "flag --http-port"
    assert lines["host"] == "default"


def test_json_holds_models_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "other.toml").write_text('[model.iris]\nthreads = 3\n[model."a.b"]\nmemory_limit = "1GiB"\n')
    assert main(["config", "--json", "--config", "other.toml"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["serve"]["http_port"] == {"value": 8000, "from": "default"}
    assert tree["model"]["iris"]["threads"] == {"value": 3, "from": "other.toml [model.iris] threads"}
    assert tree["model"]["a.b"]["memory_limit"]["value"] == 1 << 30


def test_an_error_is_one_line_and_exit_code_2(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from gantline.cli import main; sys.exit(main())", "config"],
        check=False,
        env={**os.environ, "GANTLINE_HTTP_PROT": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "gantline config: error: environment: unknown setting 'GANTLINE_HTTP_PROT'; did you mean 'GANTLINE_HTTP_PORT'?"
    ]


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--json", "--http-port", "x"]) == 2
    error = json.loads(capsys.readouterr().out)
    assert error["kind"] == "UsageError"
    assert error["error"].startswith("flag --http-port: 'x'")
