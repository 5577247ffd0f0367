"""`gantline lock`: files by their names, what is said of them, and nothing where a platform has no answer."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from gantline.cli import main
from tests.builders.lock.tiny import LINUX, package, runtime_wheels, wheel


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runtime_wheels(tmp_path_factory.mktemp("house"))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_a_file_for_each_platform(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found where pip is told to look, gathered in a directory, and locked from that without a network."""
    package(tmp_path / "pine.wood.pkg", engine="onnx")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    words = ["lock", "pine.wood.pkg", "--platform", "linux/amd64,linux/arm64,linux/amd64", "--python", "3.11"]
    assert main([*words, "--wheelhouse", "carried"]) == 0
    out = capsys.readouterr().out
    assert "pylock.pine-wood-linux-amd64.toml" in out and "numpy>=1.26  (gantline)" in out and "10, " in out
    gathered = sorted(p.name for p in Path("carried").iterdir())
    assert [n for n in gathered if n.startswith("numpy")] == [
        f"numpy-2.4.6-cp311-cp311-{LINUX[one]}.whl" for one in ("arm64", "amd64")
    ]
    first = Path("pylock.pine-wood-linux-arm64.toml").read_bytes()
    assert main([*words, "--json"]) == 2
    assert "exists; choose another -o or pass --overwrite" in json.loads(capsys.readouterr().out)["error"]
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert main([*words, "--offline", "--wheelhouse", "carried", "-o", "locks", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["platform"], len(one["packages"])) for one in told["locks"]] == [
        ("linux/amd64", 10),
        ("linux/arm64", 10),
    ]
    assert Path("locks/pylock.pine-wood-linux-arm64.toml").read_bytes() == first


def test_nothing_is_written_where_one_platform_has_no_answer(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path / "w", "forest", "1.0", tags=f"cp311-cp311-{LINUX['amd64']}")
    package(tmp_path / "p.pkg", ["forest"])
    words = ["lock", "p.pkg", "--python", "3.11", "--find-links", str(house), "--find-links", "w"]
    assert main([*words, "--platform", "linux/amd64,linux/arm64", "-o", "locks"]) == 3
    err = capsys.readouterr().err
    assert (
        err.startswith("gantline lock: error: 'forest' (the package): no wheel for linux/arm64")
        and err.count("\n") == 1
    )
    assert not Path("locks").exists()
    assert main([*words, "--platform", "linux/amd64", "-o", "one/pylock.toml"]) == 0
    assert tomllib.loads(Path("one/pylock.toml").read_text())["packages"][0]["name"] == "forest"


def test_a_lock_is_shown(house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = wheel(tmp_path / "old", "numpy", "1.24.0").parent
    wheel(old, "legacy", "1.0", ["numpy<1.25"])
    package(tmp_path / "p.pkg", ["legacy"])
    words = ["lock", "p.pkg", "--python", "3.11", "--platform", "linux/amd64", "-o", "pylock.toml"]
    assert main([*words, "--find-links", str(house), "--find-links", "old"]) == 0
    assert "two environments: " in capsys.readouterr().out
    assert main(["inspect", "pylock.toml"]) == 0
    out = capsys.readouterr().out
    assert "numpy 1.24.0 [script]  " in out and "numpy 2.4.6 [runtime]  " in out and "legacy  (the package)" in out
    assert main(["inspect", "pylock.toml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["environments"], told["platform"], told["python"]) == (2, "linux/amd64", "3.11")
    Path("pylock.toml").write_text("x = 1\n")
    assert main(["inspect", "pylock.toml"]) == 3
    assert "pylock.toml: not a pylock.toml of version 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--platform", "amd64"], "platform 'amd64': expected OS/ARCHITECTURE"),
        (["--python", "three"], "--python 'three': expected a version such as 3.11"),
        (["--glibc", "new"], "--glibc 'new': expected a version such as 2.36"),
        (["--find-links", "nowhere"], "--find-links nowhere: no such directory"),
        (["--index-url", "simple"], "--index-url simple: no such directory"),
        (["--extra-index-url", "https://h:port/simple"], "'https://h:port/simple' is no place for wheels"),
        (["--offline", "--wheelhouse", "nowhere"], "--wheelhouse nowhere: no such directory"),
        (["--platform", "linux/amd64,linux/arm64", "-o", "p.pkg/manifest.json"], "name a directory"),
    ],
)
def test_words_without_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    package(tmp_path / "p.pkg", engine="onnx")
    assert main(["lock", "p.pkg", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--builder", "b.tar"], "--builder b.tar: say --build-wheels too"),
        (["--build-wheels-in", "here", "--builder", "b.tar"], "no image is used on this machine"),
    ],
)
def test_a_builder_that_builds_nothing(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    package(tmp_path / "pine.pkg", engine="onnx")
    assert main(["lock", "pine.pkg", *words, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]
