"""The command line's own behaviour: verbs, flags, errors, exit codes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gantline
from gantline import cli
from gantline.errors import BadArtefact, Unreachable
from gantline.exits import BAD_INPUT, FAILED, OK, UNREACHABLE, USAGE

COMMAND = str(Path(sys.executable).with_name("gantline"))


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == OK
    assert capsys.readouterr().out == f"gantline {gantline.__version__}\n"


def test_the_module_is_the_command() -> None:
    words = [sys.executable, "-m", "gantline", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"gantline {gantline.__version__}\n"


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == OK
    shown = " ".join(capsys.readouterr().out.split())  # long lines are broken
    assert [v for v, (_, line) in cli.VERBS.items() if v not in shown or line not in shown] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "gantline: error: the following arguments are required: VERB; see `gantline --help`"),
        (["confg"], "gantline: error: unknown command 'confg'; did you mean 'config'?"),
        (["zzzzz"], "gantline: error: unknown command 'zzzzz'; see --help"),
        (["--vrsion"], "gantline: error: "),
        (
            ["config", "--http-prot", "1"],
            "gantline config: error: unknown flag '--http-prot'; did you mean '--http-port'?; see `gantline config",
        ),
        (["config", "--http-prot=1"], "gantline config: error: unknown flag '--http-prot'; did you mean '--http-port'"),
        (["config", "--http", "1"], "gantline config: error: unknown flag '--http'; did you mean '--http-port'?"),
        (["config", "stray"], "gantline config: error: unrecognized arguments: stray"),
        (["config", "--http-port"], "gantline config: error: argument --http-port: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(told)
    assert shown.err.count("\n") == 1


def test_a_wrong_command_line_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "--json", "--http-prot", "1"]) == USAGE
    shown = capsys.readouterr()
    assert json.loads(shown.out)["kind"] == "UsageError"
    assert shown.err == ""


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (BadArtefact("m.onnx: damaged\nat byte 3"), BAD_INPUT),
        (Unreachable("no server"), UNREACHABLE),
        (KeyboardInterrupt(), 128 + signal.SIGINT),
        (gantline.GantlineError("failed"), FAILED),
        (PermissionError(errno.EACCES, "Permission denied", "/root/.gantline"), USAGE),
        (OSError(errno.EROFS, "Read-only file system"), USAGE),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), USAGE),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "loop"), USAGE),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), FAILED),
    ],
)
def test_what_a_verb_raises_becomes_an_exit_code(
    raised: BaseException,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A verb of its own, written as a module, as the table takes them."""
    (tmp_path / "failing_verb.py").write_text("def arguments(p): p.add_argument('--json', action='store_true')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.VERBS, "fail", ("failing_verb", "fail"))
    import failing_verb  # type: ignore[import-not-found]  # written above

    def run(args: object) -> int:
        raise raised

    failing_verb.run = run
    try:
        assert cli.main(["fail"]) == code
        shown = capsys.readouterr().err
        assert shown.count("\n") == (0 if isinstance(raised, KeyboardInterrupt) else 1)
        assert cli.main(["fail", "--json"]) == code
    finally:
        del sys.modules["failing_verb"]


def test_other_errors_of_the_system_are_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr(cli, "import_module", load)
    with pytest.raises(FileNotFoundError):
        cli.main(["list"])


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (
            "onnx.helper",
            "gantline fail: error: needs 'onnx', which is not installed; type: pip install 'gantline[build]'",
        ),
        (
            "pyarrow",
            "gantline fail: error: needs 'pyarrow', which is not installed; type: pip install 'gantline[tables]'",
        ),
    ],
)
def test_an_extra_that_is_absent(
    module: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.VERBS, "fail", (module, "fail"))
    for loaded in [m for m in sys.modules if m.partition(".")[0] == module.partition(".")[0]]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    assert cli.main(["fail"]) == FAILED
    assert capsys.readouterr().err == told + "\n"


def test_a_module_that_no_extra_brings_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "fail", ("gantline.absent", "fail"))
    with pytest.raises(ModuleNotFoundError, match=r"gantline\.absent"):
        cli.main(["fail"])


def test_extras_are_pyprojects(pytestconfig: pytest.Config) -> None:
    import tomllib

    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    named = {extra.strip("'").removeprefix("gantline[").removesuffix("]") for extra in cli.EXTRAS}
    assert named == set(project["optional-dependencies"]) - {"dev"}


def test_a_reader_that_leaves_is_no_error() -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([COMMAND, "config"], stdout=write, stderr=subprocess.PIPE, env=environ, check=False)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == FAILED


def test_only_the_verb_that_is_called_is_imported() -> None:
    code = "import sys; from gantline.cli import main; main(['config']); print([m for m in sys.modules if 'cli.' in m])"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.splitlines()[-1] == "['gantline.cli.config']"
