"""The flags of commands that ask a running server."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gantline.cli import remote
from gantline.errors import BadArtefact


def test_flags() -> None:
    parser = argparse.ArgumentParser()
    remote.arguments(parser)
    args = parser.parse_args(["--url", "http://h:1", "--key-file", "k", "--timeout", "2.5"])
    assert (args.url, args.key_file, args.timeout) == ("http://h:1", Path("k"), 2.5)
    assert vars(parser.parse_args([])) == {"url": None, "key_file": None, "timeout": 60.0}


def test_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANTLINE_KEY", raising=False)
    assert remote.key_of(None) is None
    monkeypatch.setenv("GANTLINE_KEY", "one")
    assert remote.key_of(None) == "one"
    (tmp_path / "key").write_text("two\n")
    assert remote.key_of(tmp_path / "key") == "two"
    with pytest.raises(BadArtefact, match="nowhere: cannot be read: No such file"):
        remote.key_of(tmp_path / "nowhere")
    (tmp_path / "key").write_bytes(b"\xff")
    with pytest.raises(BadArtefact, match="not a key: it is not ASCII text"):
        remote.key_of(tmp_path / "key")
