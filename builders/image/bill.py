"""Bill of materials: every part of an image in CycloneDX 1.6 and SPDX 2.3, the model among them, from what was put in.

It is exact where scanners guess: each wheel, Debian package and model file was put in by us. The same image has the
same bill: no times but the image's, and identifiers made of content.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gantline
from gantline.manifest import Manifest
from gantline.signature import TensorSpec

from .distribution import Distribution

_SPACE = uuid.UUID("b0a1c0de-6761-5e74-6c69-6e6500000001")  # ours, for identifiers made of digests
NOTHING = "NOASSERTION"


@dataclass(frozen=True, slots=True)
class Below:
    """A Debian package of the base or of a layer: what dpkg knows of it."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Materials:
    """All that an image is made of. `created` is RFC 3339; `system` Debian's ID and VERSION_ID, if that is its base."""

    manifest: Manifest
    distributions: Sequence[Distribution]
    below: Sequence[Below]
    base: str
    created: str
    system: Mapping[str, str]

    @property
    def identifier(self) -> str:
        """One for one content, as a UUID."""
        parts = [self.manifest.digest, self.base, gantline.__version__, *(d.wheel.digest for d in self.distributions)]
        parts += [f"{one.name}={one.version}" for one in self.below]  # bases may share a name
        return str(uuid.uuid5(_SPACE, " ".join(parts)))


def cyclonedx(materials: Materials) -> dict[str, Any]:
    """The bill as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""
    model = _model(materials.manifest)
    components = [model, _runtime(), *map(_wheel, materials.distributions)]
    components += [_debian(one, materials.system) for one in materials.below]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{materials.identifier}",
        "version": 1,
        "metadata": {
            "timestamp": materials.created,
            "tools": {"components": [{"type": "application", "name": "gantline", "version": gantline.__version__}]},
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": materials.manifest.name,
                "properties": [{"name": "gantline:base", "value": materials.base}],
            },
        },
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": sorted(c["bom-ref"] for c in components)}],
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


def _runtime() -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": "gantline",
        "name": "gantline",
        "version": gantline.__version__,
        "purl": f"pkg:pypi/gantline@{gantline.__version__}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def _wheel(found: Distribution) -> dict[str, Any]:
    wheel = found.wheel
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{_purl(found)}#{wheel.digest[7:19]}",
        "name": wheel.distribution,
        "version": wheel.version,
        "purl": _purl(found),
        "hashes": [{"alg": "SHA-256", "content": wheel.digest.removeprefix("sha256:")}],
    }
    if found.summary:
        component["description"] = found.summary
    if found.homepage:
        component["externalReferences"] = [{"type": "website", "url": found.homepage}]
    if found.expression:
        component["licenses"] = [{"expression": found.expression}]
    elif found.licence:
        component["licenses"] = [{"license": {"name": found.licence}}]
    return component


def _debian(found: Below, system: Mapping[str, str]) -> dict[str, Any]:
    purl = _debian_purl(found, system)
    return {"type": "library", "bom-ref": purl, "name": found.name, "version": found.version, "purl": purl}


def spdx(materials: Materials) -> dict[str, Any]:
    """The bill as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/)."""
    image = _package("Image", materials.manifest.name, "", "CONTAINER")
    model = _package("Model", f"{materials.manifest.name} (model)", materials.manifest.digest, "OTHER")
    model["checksums"] = [_checksum(materials.manifest.digest)]
    packages = [image, model, _spdx_runtime(), *(_spdx_wheel(d) for d in materials.distributions)]
    packages += [_spdx_debian(one, materials.system) for one in materials.below]
    parts = [p["SPDXID"] for p in packages[1:]]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": materials.manifest.name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{materials.manifest.name}-{materials.identifier}",
        "creationInfo": {"created": materials.created, "creators": [f"Tool: gantline-{gantline.__version__}"]},
        "packages": packages,
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", image["SPDXID"]),
            *(_relation(image["SPDXID"], "CONTAINS", part) for part in parts),
        ],
    }


def _package(key: str, name: str, version: str, purpose: str) -> dict[str, Any]:
    out = {
        "SPDXID": f"SPDXRef-{key}",
        "name": name,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "primaryPackagePurpose": purpose,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
    }
    return {**out, "versionInfo": version} if version else out


def _spdx_wheel(found: Distribution) -> dict[str, Any]:
    wheel = found.wheel
    out = _package(
        f"Wheel-{_identifier(wheel.distribution)}-{wheel.digest[7:19]}", wheel.distribution, wheel.version, "LIBRARY"
    )
    out["packageFileName"] = wheel.path.name
    if found.homepage:
        out["homepage"] = found.homepage
    out["checksums"] = [_checksum(wheel.digest)]
    out["externalRefs"] = [_locator(_purl(found))]
    if found.expression:
        out["licenseDeclared"] = found.expression
    elif found.licence:
        out["licenseComments"] = found.licence
    return out


def _spdx_runtime() -> dict[str, Any]:
    found = _runtime()
    out = _package("Gantline", found["name"], found["version"], "APPLICATION")
    out["externalRefs"] = [_locator(found["purl"])]
    out["licenseDeclared"] = found["licenses"][0]["license"]["id"]
    return out


def _spdx_debian(found: Below, system: Mapping[str, str]) -> dict[str, Any]:
    out = _package(f"Debian-{_identifier(found.name)}", found.name, found.version, "LIBRARY")
    out["externalRefs"] = [_locator(_debian_purl(found, system))]
    return out


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _checksum(digest: str) -> dict[str, str]:
    return {"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}


def _locator(purl: str) -> dict[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}


def _identifier(text: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in text)


def _purl(found: Distribution) -> str:
    return f"pkg:pypi/{found.wheel.distribution}@{_escaped(found.wheel.version)}"


def _debian_purl(found: Below, system: Mapping[str, str]) -> str:
    distro = f"&distro={system['ID']}-{system['VERSION_ID']}" if system.get("VERSION_ID") and system.get("ID") else ""
    name = _escaped(found.name)
    return f"pkg:deb/{system.get('ID') or 'debian'}/{name}@{_escaped(found.version)}?arch={found.architecture}{distro}"


def _escaped(text: str) -> str:
    return text.replace("+", "%2B").replace(":", "%3A")


def licences(materials: Materials) -> str:
    """Who has which licence, a line each, and where its text lies; for people."""
    lines = [f"What is in this image of {materials.manifest.name}, under which licence.", ""]
    lines += _table(("gantline", gantline.__version__, "Apache-2.0"), _rows(materials.distributions))
    lines += ["", "Of Debian: each package's licence is in /usr/share/doc/NAME/copyright.", ""]
    lines += [f"{one.name} {one.version}" for one in materials.below]
    return "\n".join(lines) + "\n"


def _rows(found: Iterable[Distribution]) -> list[tuple[str, str, str]]:
    return [(d.wheel.distribution, d.wheel.version, d.expression or d.licence or "not said") for d in found]


def _table(first: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> list[str]:
    shown = [first, *rows]
    widths = [max(len(row[i]) for row in shown) for i in range(2)]
    return [f"{name:<{widths[0]}}  {version:<{widths[1]}}  {licence}" for name, version, licence in shown]
