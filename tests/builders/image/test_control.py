"""Debian's records, and how its versions compare."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from gantline.builders.image.control import Wanted, compare, stanzas, wanted

ORDERED = [
    "~~", "~~a", "~", "", "0.9~rc1-1", "0.9-1", "1.0~beta1", "1.0", "1.0-1~deb12u1", "1.0-1", "1.0-1+b1",
    "1.0-1+deb12u1", "1.0-1.1", "1.0-2", "1.0a-1", "1.0+dfsg-1", "1.2-1", "1.10-1", "2.36-9+deb12u8", "2.36-9+deb12u14",
    "1:0.1-1", "2:0.1",
]  # fmt: skip


def test_versions() -> None:
    for one, other in itertools.combinations(ORDERED, 2):
        assert compare(one, other) < 0 < compare(other, one), (one, other)
    assert compare("1" * 5000, "2" * 5000) < 0 and compare("\u00b2:1", "\u00b2:2") < 0
    assert compare("1.0-0", "1.0") == 0 and compare("0:1.0", "1.0") == 0 and compare("1.00", "1.0") == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg, which knows best, is not installed")
def test_versions_as_dpkg_has_them() -> None:
    proper = [v for v in ORDERED if v[:1].isdigit()]
    for one, other in itertools.product(proper, repeat=2):
        known = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0
        assert (compare(one, other) < 0) == known, (one, other)


def test_stanzas() -> None:
    text = "\nPackage: a\nDescription: one\n more\n .\n and more\n# a comment\nVersion: 1:2-3\n\n\nPackage: b\nbroken\n"
    found = list(stanzas(text))
    assert found == [{"Package": "a", "Description": "one\nmore\n.\nand more", "Version": "1:2-3"}, {"Package": "b"}]
    assert list(stanzas(iter(text.splitlines(keepends=True)))) == found
    assert list(stanzas("")) == []


def test_what_is_wanted() -> None:
    assert wanted("libc6 (>= 2.34), gcc-12-base (= 12.2.0-14), a | b:any (<< 2) [amd64], python3:any") == [
        [Wanted("libc6", ">=", "2.34")],
        [Wanted("gcc-12-base", "=", "12.2.0-14")],
        [Wanted("a"), Wanted("b", "<<", "2")],
        [Wanted("python3")],
    ]
    assert wanted("") == [] and wanted("!!") == []
    assert Wanted("a", ">=", "2").met_by("2") and not Wanted("a", ">>", "2").met_by("2")
    assert Wanted("a").met_by("0") and str(Wanted("a", "=", "1")) == "a (= 1)"
