"""Bill of materials: the software of an image in CycloneDX 1.6 and SPDX 2.3, from what was put in.

It is exact where scanners guess: each wheel and Debian package was put in by us. The same software has the same bill:
no times but the image's, identifiers made of content, and nothing of the model, which has a bill of its own
(`model_bill.py`): a model changes more often, and what has not changed need not be sent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gantline

from .distribution import Distribution

SPACE = uuid.UUID("b0a1c0de-6761-5e74-6c69-6e6500000001")  # ours, for identifiers made of digests
NOTHING = "NOASSERTION"
_PYTHONS_LICENCE = "Python-2.0"


@dataclass(frozen=True, slots=True)
class Below:
    """A Debian package of the base or of a layer: what dpkg knows of it."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Software:
    """All that an image is made of but the model. `created` is RFC 3339; `system` Debian's ID and VERSION_ID, if any.

    `python` is the version of a Python that is in no Debian package, as Docker's images have it; empty for Debian's.
    """

    distributions: Sequence[Distribution]
    below: Sequence[Below]
    base: str
    created: str
    system: Mapping[str, str]
    python: str = ""

    @property
    def identifier(self) -> str:
        """One for one content, as a UUID."""
        parts = [self.base, gantline.__version__, self.python, *(d.wheel.digest for d in self.distributions)]
        parts += [f"{one.name}={one.version}" for one in self.below]  # bases may share a name
        return str(uuid.uuid5(SPACE, " ".join(parts)))

    @property
    def namespace(self) -> str:
        """What the SPDX document is called by others."""
        return f"https://spdx.org/spdxdocs/gantline-software-{self.identifier}"


def cyclonedx(software: Software) -> dict[str, Any]:
    """The bill as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""
    components = [_runtime(), *([_python(software.python)] if software.python else [])]
    components += map(_wheel, software.distributions)
    components += [_debian(one, software.system) for one in software.below]
    base = {"name": "gantline:base", "value": software.base}
    subject = {"type": "platform", "bom-ref": "software", "name": "software", "properties": [base]}
    return {
        **cyclonedx_head(software.identifier, software.created, subject),
        "components": components,
        "dependencies": [{"ref": "software", "dependsOn": sorted(c["bom-ref"] for c in components)}],
    }


def cyclonedx_head(identifier: str, created: str, subject: dict[str, Any]) -> dict[str, Any]:
    """What a document about `subject` begins with."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identifier}",
        "version": 1,
        "metadata": {
            "timestamp": created,
            "tools": {"components": [{"type": "application", "name": "gantline", "version": gantline.__version__}]},
            "component": subject,
        },
    }


def _runtime() -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": "gantline",
        "name": "gantline",
        "version": gantline.__version__,
        "purl": f"pkg:pypi/gantline@{gantline.__version__}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def _python(version: str) -> dict[str, Any]:
    """CPython as scanners call what was built from its source. Without its last number no advisory can be looked up."""
    cpe = {"cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"} if version.count(".") > 1 else {}
    return {
        "type": "application",
        "bom-ref": "python",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{_escaped(version)}",
        "licenses": [{"license": {"id": _PYTHONS_LICENCE}}],
        **cpe,
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


def spdx(software: Software) -> dict[str, Any]:
    """The bill as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/)."""
    subject = spdx_package("Software", "software", "", "INSTALL")
    subject["comment"] = f"base {software.base}"
    packages = [subject, _spdx_runtime(), *([_spdx_python(software.python)] if software.python else [])]
    packages += map(_spdx_wheel, software.distributions)
    packages += [_spdx_debian(one, software.system) for one in software.below]
    return spdx_document("software", software.namespace, software.created, packages)


def spdx_document(name: str, namespace: str, created: str, packages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A document about the first of its packages, which contains the others."""
    subject, *parts = (p["SPDXID"] for p in packages)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": namespace,
        "creationInfo": {"created": created, "creators": [f"Tool: gantline-{gantline.__version__}"]},
        "packages": list(packages),
        "relationships": [
            relation("SPDXRef-DOCUMENT", "DESCRIBES", subject),
            *(relation(subject, "CONTAINS", part) for part in parts),
        ],
    }


def spdx_package(key: str, name: str, version: str, purpose: str) -> dict[str, Any]:
    """What every package has."""
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
    out = spdx_package(
        f"Wheel-{_identifier(wheel.distribution)}-{wheel.digest[7:19]}", wheel.distribution, wheel.version, "LIBRARY"
    )
    out["packageFileName"] = wheel.path.name
    if found.homepage:
        out["homepage"] = found.homepage
    out["checksums"] = [checksum(wheel.digest)]
    out["externalRefs"] = [_locator(_purl(found))]
    if found.expression:
        out["licenseDeclared"] = found.expression
    elif found.licence:
        out["licenseComments"] = found.licence
    return out


def _spdx_runtime() -> dict[str, Any]:
    found = _runtime()
    out = spdx_package("Gantline", found["name"], found["version"], "APPLICATION")
    out["externalRefs"] = [_locator(found["purl"])]
    out["licenseDeclared"] = found["licenses"][0]["license"]["id"]
    return out


def _spdx_python(version: str) -> dict[str, Any]:
    found = _python(version)
    out = spdx_package("Python", found["name"], version, "APPLICATION")
    out["externalRefs"] = [_locator(found["purl"])]
    if cpe := found.get("cpe"):
        out["externalRefs"].append(
            {"referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": cpe}
        )
    out["licenseDeclared"] = _PYTHONS_LICENCE
    return out


def _spdx_debian(found: Below, system: Mapping[str, str]) -> dict[str, Any]:
    out = spdx_package(f"Debian-{_identifier(found.name)}", found.name, found.version, "LIBRARY")
    out["externalRefs"] = [_locator(_debian_purl(found, system))]
    return out


def relation(one: str, kind: str, other: str) -> dict[str, str]:
    """Of two elements."""
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def checksum(digest: str) -> dict[str, str]:
    """Of `sha256:...`."""
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


def licences(software: Software) -> str:
    """Who has which licence, a line each, and where its text lies; for people."""
    lines = ["The software in this image, under which licence.", ""]
    rows = _rows(software.distributions)
    if software.python:
        rows.insert(0, ("python", software.python, _PYTHONS_LICENCE))
    lines += _table(("gantline", gantline.__version__, "Apache-2.0"), rows)
    lines += ["", "Of Debian: each package's licence is in /usr/share/doc/NAME/copyright.", ""]
    lines += [f"{one.name} {one.version}" for one in software.below]
    return "\n".join(lines) + "\n"


def _rows(found: Iterable[Distribution]) -> list[tuple[str, str, str]]:
    return [(d.wheel.distribution, d.wheel.version, d.expression or d.licence or "not said") for d in found]


def _table(first: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> list[str]:
    shown = [first, *rows]
    widths = [max(len(row[i]) for row in shown) for i in range(2)]
    return [f"{name:<{widths[0]}}  {version:<{widths[1]}}  {licence}" for name, version, licence in shown]
