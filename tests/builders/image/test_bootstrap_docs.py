"""The page about bases prints the commands that the code has."""

from __future__ import annotations

from pathlib import Path

from gantline.builders.image.bootstrap import commands


def test_the_page_prints_them() -> None:
    text = (Path(__file__).parents[3] / "docs" / "bases.md").read_text()
    for words in commands((3, 11)):
        assert "sudo " + " ".join(words) in text
    for minor in range(9, 20):
        for made in commands((3, minor))[:1]:
            row = next(line for line in text.splitlines() if line.startswith(f"| 3.{minor} |"))
            release, _, mirror, *script = made[made.index("rootfs") - 1 :]
            assert f"`{release}`" in row and f"`{mirror}`" in row
            assert ("`gutsy`" in row) == (script == ["gutsy"]) == ("--components=main,universe" in row)
