"""Bills of materials: complete, the same for the same image, and as their own validators want them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image.bill import Below, Materials, cyclonedx, licences, spdx
from gantline.builders.image.distribution import Distribution
from gantline.builders.image.wheel import Wheel

from gantline.manifest import File, Manifest, Parity, SourceInfo
from gantline.signature import Signature, TensorSpec

from .conftest import MakeWheel

DIGEST = "sha256:" + "1f" * 32


@pytest.fixture
def materials(make_wheel: MakeWheel) -> Materials:
    """Wheels with a licence of each kind, a Debian package with a version that needs escapes, a model with parity."""
    texts = (b"License-Expression: MIT\n", b"License: my own words\n", b"")
    wheels = [make_wheel(f"thing{i}", {f"thing{i}.py": b""}, about=text) for i, text in enumerate(texts)]
    manifest = Manifest(
        "iris", "onnx", "model.onnx",
        signature=Signature((TensorSpec("X", "FP32", (-1, 4)),), (TensorSpec("label", "INT64", (-1,)),)),
        source=SourceInfo("scikit-learn", "LogisticRegression"),
        parity=Parity("given", 10, 1e-7, 2e-7, 0),
        files=(File("model.onnx", DIGEST, 5, "application/vnd.gantline.model.onnx"),),
    )  # fmt: skip
    return Materials(
        manifest,
        [Distribution.read(Wheel.open(path)) for path in wheels],
        [Below("libstdc++6", "1:12.2.0-14+deb12u1", "amd64")],
        "python:3.11-slim",
        "1970-01-01T00:00:00Z",
        {"ID": "debian", "VERSION_ID": "12"},
    )


def test_every_part_is_in_both(materials: Materials) -> None:
    components = {c["name"]: c for c in cyclonedx(materials)["components"]}
    packages = {p["name"]: p for p in spdx(materials)["packages"]}
    for name in ("gantline", "thing0", "thing1", "thing2", "libstdc++6"):
        assert name in components and name in packages
    model = components["iris"]
    assert model["type"] == "machine-learning-model" and model["modelCard"]["modelParameters"]["inputs"]
    assert model["components"][0]["hashes"][0]["content"] == DIGEST[7:]
    assert components["thing0"]["licenses"] == [{"expression": "MIT"}]
    assert components["thing1"]["licenses"] == [{"license": {"name": "my own words"}}]
    assert packages["thing0"]["licenseDeclared"] == "MIT" and packages["thing1"]["licenseDeclared"] == "NOASSERTION"
    purl = "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"
    assert components["libstdc++6"]["purl"] == purl


def test_the_same_for_the_same(materials: Materials) -> None:
    assert cyclonedx(materials) == cyclonedx(materials) and spdx(materials) == spdx(materials)
    identifiers = [c["bom-ref"] for c in cyclonedx(materials)["components"]]
    assert len(set(identifiers)) == len(identifiers)
    elements = [p["SPDXID"] for p in spdx(materials)["packages"]]
    assert len(set(elements)) == len(elements)


def test_another_base_of_the_same_name_has_another_number(materials: Materials) -> None:
    other = replace(materials, below=[Below("libstdc++6", "1:13", "amd64")])
    assert cyclonedx(other)["serialNumber"] != cyclonedx(materials)["serialNumber"]


def test_licences_for_people(materials: Materials) -> None:
    text = licences(materials)
    assert "thing0    1.0    MIT" in text and "thing2    1.0    not said" in text and "libstdc++6 1:12.2.0" in text


CHECK = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
assert found is None, found
wrong = [m.validation_message for m in validate_full_spdx_document(parse_file(sys.argv[2]), "SPDX-2.3")]
assert wrong == [], wrong
print("valid")
"""


@pytest.mark.oracle
def test_their_own_validators(materials: Materials, tmp_path: Path, rival: Callable[[str], Path]) -> None:
    (tmp_path / "bill.cdx.json").write_text(json.dumps(cyclonedx(materials)))
    (tmp_path / "bill.spdx.json").write_text(json.dumps(spdx(materials)))
    command: list[str | Path] = [rival("bills"), "-c", CHECK, tmp_path / "bill.cdx.json", tmp_path / "bill.spdx.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "valid", done.stderr
