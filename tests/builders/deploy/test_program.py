"""Other people's command lines: what they say, that they are not there, and that they never end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from gantline.builders.deploy import program
from gantline.builders.deploy.program import Program, compose, kubectl

from gantline.errors import NotFound, Unavailable, Unsupported

PYTHON = Program((sys.executable, "-c"))


def test_what_it_prints() -> None:
    assert PYTHON.ask("print('x')") == "x\n"
    assert PYTHON.ask("print(input())", given="y") == "y\n"
    assert PYTHON.ask(r"import os; os.write(1, b'\xff\xc3\xa9\r\n')") == "\ufffd\u00e9\n"
    assert list(PYTHON.lines("print('a'); print('b')")) == [b"a\n", b"b\n"]
    with pytest.raises(Unavailable, match="exit code 4"):
        list(PYTHON.lines("print('a'); raise SystemExit(4)"))


def test_why_it_failed() -> None:
    with pytest.raises(Unavailable, match=r"`.*`: the connection was refused"):
        PYTHON.ask("import sys; sys.exit('first\\nthe connection was refused')")
    with pytest.raises(NotFound):
        PYTHON.ask("import sys; sys.exit('Error from server (NotFound): deployments.apps \"x\" not found')")
    with pytest.raises(Unavailable, match="exit code 3"):
        PYTHON.ask("raise SystemExit(3)")
    with pytest.raises(Unavailable, match=r"did not answer within 0.2 s"):
        PYTHON.ask("import time; time.sleep(60)", wait_s=0.2)


def test_variables_that_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Program((*PYTHON.words, "import os; print(os.environ['WANTED'])"), (("WANTED", "-"),))
    assert shown.ask() == "-\n" and list(shown.lines()) == [b"-\n"]
    monkeypatch.setenv("WANTED", "own")
    assert shown.ask() == "own\n"


def test_what_nobody_reads_on_is_stopped() -> None:
    endless = PYTHON.lines("import time\nwhile True: print('x', flush=True); time.sleep(0.01)")
    assert next(iter(endless)) == b"x\n"
    endless.close()


def test_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="kubectl: not installed here"):
        kubectl("")
    with pytest.raises(Unsupported, match=r"no compose here.*docker compose --project-name iris -f a.yaml up --wait"):
        compose("a.yaml", "iris")
    assert program.context() == "" and not program.can_act("compose") and not program.can_act("kserve")


@pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")
def test_the_compose_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rest = ("--project-name", "iris", "-f", "a.yaml")  # which beats COMPOSE_PROJECT_NAME
    for name, script in (("podman-compose", "exit 0"), ("docker", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    assert compose("a.yaml", "iris").words == ("podman-compose", *rest), "a docker without the plugin is none"
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 0\n")
    assert compose("a.yaml", "iris").words == ("docker", "compose", *rest)
    assert program.can_act("compose") and not program.can_act("kubernetes")
    assert kubectl_words(tmp_path) == ("kubectl", "--context", "there")


def kubectl_words(folder: Path) -> tuple[str, ...]:
    (folder / "kubectl").write_text("#!/bin/sh\nexit 0\n")
    (folder / "kubectl").chmod(0o755)
    return kubectl("there").words
