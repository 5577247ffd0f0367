"""Model bill: what an image is made of, in CycloneDX 1.6 and SPDX 2.3: its model, and where its software is listed.

The software's bill (`bill.py`) is named by its number and its digest, so the two are as good as one, and an edit of a
script sends 1 kB of bills, not 15.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from gantline.blobs import sha256_bytes
from gantline.manifest import Manifest
from gantline.signature import TensorSpec

from .bill import SPACE, Software, checksum, cyclonedx_head, relation, spdx_document, spdx_package

_ELSEWHERE = "DocumentRef-Software"


@dataclass(frozen=True, slots=True)
class Materials:
    """A model and the software of its image. `listed`: the two bills of that, CycloneDX and SPDX, with their places."""

    manifest: Manifest
    software: Software
    listed: tuple[tuple[str, bytes], tuple[str, bytes]]

    @property
    def identifier(self) -> str:
        """One for one content, as a UUID."""
        return str(uuid.uuid5(SPACE, f"{self.manifest.digest} {self.software.identifier}"))


def cyclonedx(materials: Materials) -> dict[str, Any]:
    """The bill as CycloneDX 1.6; that of the software is linked as BOM-Link has it (https://cyclonedx.org/capabilities/bomlink/)."""
    (place, data), _ = materials.listed
    software = {
        "type": "platform",
        "bom-ref": "software",
        "name": "software",
        "externalReferences": [
            {
                "type": "bom",
                "url": f"urn:cdx:{materials.software.identifier}/1",
                "comment": f"/{place} in this image",
                "hashes": [{"alg": "SHA-256", "content": sha256_bytes(data).removeprefix("sha256:")}],
            }
        ],
    }
    subject = {"type": "container", "bom-ref": "image", "name": materials.manifest.name}
    return {
        **cyclonedx_head(materials.identifier, materials.software.created, subject),
        "components": [_model(materials.manifest), software],
        "dependencies": [
            {"ref": "image", "dependsOn": ["model", "software"]},
            {"ref": "model", "dependsOn": ["software"]},
        ],
    }


def _model(manifest: Manifest) -> dict[str, Any]:
    signature = manifest.signature
    parameters: dict[str, Any] = {}
    card: dict[str, Any] = {"modelParameters": parameters}
    if signature is not None:
        parameters["inputs"] = [{"format": _tensor(t)} for t in signature.inputs]
        parameters["outputs"] = [{"format": _tensor(t)} for t in signature.outputs]
    if manifest.source is not None:
        parameters["modelArchitecture"] = manifest.source.type or manifest.source.framework
    if manifest.parity is not None:
        errors = {"max_abs_error": manifest.parity.max_abs_error, "max_rel_error": manifest.parity.max_rel_error}
        metrics = [{"type": f"parity {name}", "value": repr(value)} for name, value in errors.items()]
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.name,
        "version": manifest.digest,
        "hashes": [{"alg": "SHA-256", "content": manifest.digest.removeprefix("sha256:")}],
        "modelCard": card,
        "components": [
            {
                "type": "file",
                "bom-ref": f"file:{f.path}",
                "name": f.path,
                "mime-type": f.mediaType,
                "hashes": [{"alg": "SHA-256", "content": f.digest.removeprefix("sha256:")}],
            }
            for f in manifest.files
        ],
    }


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype} [{','.join(map(str, spec.shape))}]"


def spdx(materials: Materials) -> dict[str, Any]:
    """The bill as SPDX 2.3; that of the software is an external document (clause 6.6, which wants SHA-1)."""
    _, (place, data) = materials.listed
    name = materials.manifest.name
    model = spdx_package("Model", f"{name} (model)", materials.manifest.digest, "OTHER")
    model["checksums"] = [checksum(materials.manifest.digest)]
    packages = [spdx_package("Image", name, "", "CONTAINER"), model]
    packages[0]["comment"] = f"its software is listed in /{place}"
    namespace = f"https://spdx.org/spdxdocs/{name}-{materials.identifier}"
    document = spdx_document(name, namespace, materials.software.created, packages)
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    document["externalDocumentRefs"] = [
        {
            "externalDocumentId": _ELSEWHERE,
            "spdxDocument": materials.software.namespace,
            "checksum": {"algorithm": "SHA1", "checksumValue": sha1},
        }
    ]
    document["relationships"].append(relation("SPDXRef-Image", "CONTAINS", f"{_ELSEWHERE}:SPDXRef-Software"))
    return document
