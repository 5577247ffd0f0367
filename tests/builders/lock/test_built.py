"""Wheels that were built: kept with what they are of, and looked at before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.lock import built
from gantline.builders.lock.solver import Offer
from gantline.builders.lock.target import Target

from gantline.errors import BadArtefact, Unavailable
from gantline.oci.platforms import Platform

from .tiny import wheel

TARGET = Target(Platform.parse("linux/amd64"), (3, 11))
SOURCE = Offer("oak-1.0.tar.gz", "https://u:p@x.invalid/oak-1.0.tar.gz?signed", "sha256:" + "1" * 64, 5)


def test_kept_with_what_it_is_of(tmp_path: Path) -> None:
    made = wheel(tmp_path, "oak")
    at = built.folder(SOURCE, TARGET)
    assert built.kept(at) is None and built.origin(made) is None
    at.parent.mkdir(parents=True)
    kept = built.keep(at, made, SOURCE)
    assert built.kept(at) == kept and kept.read_bytes() == made.read_bytes()
    assert built.origin(kept) == replace(SOURCE, url="https://x.invalid/oak-1.0.tar.gz")
    assert "u:p" not in (at / "source.json").read_text()
    number = kept.stat().st_ino
    assert built.keep(at, made, SOURCE) == kept and kept.stat().st_ino == number, "the first's stays: it may be in use"
    kept.unlink()
    assert built.keep(at, made, replace(SOURCE, url="/home/me/oak-1.0.tar.gz")) == kept
    assert built.origin(kept) == replace(SOURCE, url=""), "no path of this machine"
    (at / "source.json").write_text("{}")
    assert built.origin(kept) is None
    others = {built.folder(replace(SOURCE, digest="sha256:2"), TARGET), built.folder(SOURCE, TARGET, "in", "a base")}
    assert len({at, *others}) == 3 and built.folder(replace(SOURCE, url="elsewhere"), TARGET) == at
    assert [p.name for p in at.parent.iterdir()] == [at.name]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("oak-1.0-cp311-cp311-linux_aarch64.whl", "built there it is .*, which does not run on linux/amd64"),
        ("elm-1.0-py3-none-any.whl", "is elm-1.0-py3-none-any.whl, and not oak 1.0"),
        ("oak-1.1-py3-none-any.whl", "and not oak 1.0"),
        ("oak.whl", "which is no wheel's name"),
    ],
)
def test_what_is_something_else(file: str, said: str) -> None:
    with pytest.raises(BadArtefact, match=f"who: .*{said}"):
        built.check("who", Path(file), "oak", "1.0", SOURCE, TARGET, "there")


def test_what_is_right() -> None:
    for file in ("Oak-1.0-py3-none-any.whl", "oak-1.0.0-cp311-cp311-linux_x86_64.whl"):
        built.check("who", Path(file), "oak", "1.0", SOURCE, TARGET, "there")
    built.check("who", Path("any-9-py3-none-any.whl"), "", "", SOURCE, TARGET, "there")


def test_the_last_words_of_a_failure(tmp_path: Path) -> None:
    text = "begun\none\n\ntwo   words\nthree\nerror: what uv says\n"
    line = built.failed("who", "oak-1.0.tar.gz", "there", text, "; do so").message
    log = tmp_path / "home" / "build-logs" / "oak-1.0.tar.gz.log"
    assert line == f"who: oak-1.0.tar.gz could not be built there: one; two words; three; its whole log: {log}; do so"
    assert log.read_text() == text
    assert "it says nothing" in built.failed("who", "oak", "there", "").message
    log.unlink()
    (tmp_path / "home" / "build-logs" / "oak.log").unlink()
    log.parent.rmdir()
    log.parent.write_text("a file")
    with pytest.raises(Unavailable, match="build-logs"):
        built.failed("who", "oak-1.0.tar.gz", "there", text)
