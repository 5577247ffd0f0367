"""Bills of materials of an image: the model, its software by a link, as the formats' own validators want them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image import bill
from gantline.builders.image.bill import Below, Software
from gantline.builders.image.distribution import Distribution
from gantline.builders.image.model_bill import Materials, cyclonedx, spdx
from gantline.builders.image.wheel import Wheel

from gantline.blobs import canonical_json
from gantline.manifest import File, Manifest, Parity, SourceInfo
from gantline.signature import Signature, TensorSpec

from .conftest import MakeWheel

DIGEST = "sha256:" + "1f" * 32


@pytest.fixture
def materials(make_wheel: MakeWheel) -> Materials:
    """A model with parity, and software of each kind."""
    manifest = Manifest(
        "iris", "onnx", "model.onnx",
        signature=Signature((TensorSpec("X", "FP32", (-1, 4)),), (TensorSpec("label", "INT64", (-1,)),)),
        source=SourceInfo("scikit-learn", "LogisticRegression"),
        parity=Parity("given", 10, 1e-7, 2e-7, 0),
        files=(File("model.onnx", DIGEST, 5, "application/vnd.gantline.model.onnx"),),
    )  # fmt: skip
    wheel = Wheel.open(make_wheel("thing", {"thing.py": b""}, about=b"License-Expression: MIT\n"))
    software = Software(
        [Distribution.read(wheel)],
        [Below("libstdc++6", "1:12.2.0-14+deb12u1", "amd64")],
        "python:3.11-slim",
        "1970-01-01T00:00:00Z",
        {"ID": "debian", "VERSION_ID": "12"},
        "3.11.9",
    )
    bills = canonical_json(bill.cyclonedx(software)), canonical_json(bill.spdx(software))
    return Materials(manifest, software, (("e/software.cdx.json", bills[0]), ("e/software.spdx.json", bills[1])))


def test_the_model(materials: Materials) -> None:
    components = {c["bom-ref"]: c for c in cyclonedx(materials)["components"]}
    model = components["model"]
    assert model["type"] == "machine-learning-model" and model["modelCard"]["modelParameters"]["inputs"]
    assert model["components"][0]["hashes"][0]["content"] == DIGEST[7:]
    (package,) = (p for p in spdx(materials)["packages"] if p["SPDXID"] == "SPDXRef-Model")
    assert package["versionInfo"] == materials.manifest.digest


def test_the_software_by_number_and_digest(materials: Materials) -> None:
    """Either link leads to one document alone: the one that is beside it."""
    (_, one), (_, other) = materials.listed
    (link,) = next(c for c in cyclonedx(materials)["components"] if c["bom-ref"] == "software")["externalReferences"]
    serial = json.loads(one)["serialNumber"]
    assert link["url"] == f"urn:cdx:{serial.removeprefix('urn:uuid:')}/1" and "e/software.cdx.json" in link["comment"]
    assert link["hashes"][0]["content"] == hashlib.sha256(one).hexdigest()
    (elsewhere,) = spdx(materials)["externalDocumentRefs"]
    assert elsewhere["spdxDocument"] == json.loads(other)["documentNamespace"]
    assert elsewhere["checksum"]["checksumValue"] == hashlib.sha1(other, usedforsecurity=False).hexdigest()
    named = {p["SPDXID"] for p in json.loads(other)["packages"]}
    ends = [r["relatedSpdxElement"] for r in spdx(materials)["relationships"]]
    assert [e.partition(":")[2] in named for e in ends if ":" in e] == [True]


def test_another_model_has_another_number_and_the_same_software(materials: Materials) -> None:
    other = replace(materials, manifest=replace(materials.manifest, notes=("other",)))
    first, second = cyclonedx(materials), cyclonedx(other)
    assert first["serialNumber"] != second["serialNumber"] and first["components"][1] == second["components"][1]
    assert spdx(materials)["documentNamespace"] != spdx(other)["documentNamespace"]


CHECK = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
for path in sys.argv[1::2]:
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(path).read())
    assert found is None, found
for path in sys.argv[2::2]:
    wrong = [m.validation_message for m in validate_full_spdx_document(parse_file(path), "SPDX-2.3")]
    assert wrong == [], wrong
print("valid")
"""


@pytest.mark.oracle
def test_their_own_validators(materials: Materials, tmp_path: Path, rival: Callable[[str], Path]) -> None:
    (_, software), (_, other) = materials.listed
    texts = canonical_json(cyclonedx(materials)), canonical_json(spdx(materials)), software, other
    paths = [tmp_path / f"{n}.{'spdx' if n % 2 else 'cdx'}.json" for n in range(4)]
    for path, data in zip(paths, texts, strict=True):
        path.write_bytes(data)
    done = subprocess.run(
        [rival("bills"), "-c", CHECK, *paths], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "valid", done.stderr
