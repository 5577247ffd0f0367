"""Bills of materials of software: complete, and the same for the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gantline.builders.image.bill import Below, Software, cyclonedx, licences, spdx
from gantline.builders.image.distribution import Distribution
from gantline.builders.image.wheel import Wheel

from .conftest import MakeWheel

DIGEST = "sha256:" + "1f" * 32


@pytest.fixture
def software(make_wheel: MakeWheel) -> Software:
    """Wheels with a licence of each kind, a Debian package with a version that needs escapes, a Python of its own."""
    texts = (b"License-Expression: MIT\n", b"License: my own words\n", b"")
    wheels = [make_wheel(f"thing{i}", {f"thing{i}.py": b""}, about=text) for i, text in enumerate(texts)]
    return Software(
        [Distribution.read(Wheel.open(path)) for path in wheels],
        [Below("libstdc++6", "1:12.2.0-14+deb12u1", "amd64")],
        "python:3.11-slim",
        "1970-01-01T00:00:00Z",
        {"ID": "debian", "VERSION_ID": "12"},
        "3.11.9",
    )


def test_every_part_is_in_both(software: Software) -> None:
    components = {c["name"]: c for c in cyclonedx(software)["components"]}
    packages = {p["name"]: p for p in spdx(software)["packages"]}
    for name in ("gantline", "python", "thing0", "thing1", "thing2", "libstdc++6"):
        assert name in components and name in packages
    assert components["thing0"]["licenses"] == [{"expression": "MIT"}]
    assert components["thing1"]["licenses"] == [{"license": {"name": "my own words"}}]
    assert packages["thing0"]["licenseDeclared"] == "MIT" and packages["thing1"]["licenseDeclared"] == "NOASSERTION"
    purl = "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"
    assert components["libstdc++6"]["purl"] == purl


def test_a_python_that_is_no_debian_package(software: Software) -> None:
    """By the two names under which advisories are looked up; Debian's own is one of its packages."""
    (python,) = (c for c in cyclonedx(software)["components"] if c["name"] == "python")
    assert python["purl"] == "pkg:generic/python@3.11.9" and python["cpe"].startswith("cpe:2.3:a:python:python:3.11.9:")
    (package,) = (p for p in spdx(software)["packages"] if p["name"] == "python")
    assert [ref["referenceLocator"] for ref in package["externalRefs"]] == [python["purl"], python["cpe"]]
    debians = replace(software, python="")
    assert "python" not in {c["name"] for c in cyclonedx(debians)["components"]}
    assert "python" not in {p["name"] for p in spdx(debians)["packages"]} and "python " not in licences(debians)
    half = replace(software, python="3.11")
    assert all("cpe" not in c for c in cyclonedx(half)["components"])


def test_the_same_for_the_same(software: Software) -> None:
    assert cyclonedx(software) == cyclonedx(software) and spdx(software) == spdx(software)
    identifiers = [c["bom-ref"] for c in cyclonedx(software)["components"]]
    assert len(set(identifiers)) == len(identifiers)
    elements = [p["SPDXID"] for p in spdx(software)["packages"]]
    assert len(set(elements)) == len(elements)


def test_another_base_of_the_same_name_has_another_number(software: Software) -> None:
    others = [replace(software, below=[Below("libstdc++6", "1:13", "amd64")]), replace(software, python="3.11.10")]
    numbers = {cyclonedx(one)["serialNumber"] for one in (software, *others)}
    assert len(numbers) == 3


def test_licences_for_people(software: Software) -> None:
    text = licences(software)
    assert "python    3.11.9" in text and "Python-2.0" in text
    assert "thing0    1.0     MIT" in text and "thing2    1.0     not said" in text and "libstdc++6 1:12.2.0" in text
