"""Distribution: what a wheel says of itself: its licence, where it comes from (core metadata, PEP 566 and 639)."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser

from gantline.errors import BadArtefact

from .wheel import Wheel

_LICENCES = re.compile(r"[^/]+\.dist-info/(licenses/.+|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)", re.IGNORECASE)
# trove classifiers -> SPDX, where they say which licence it is and not only a family
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
_SIMPLE = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")
_KNOWN = {
    "apache 2.0": "Apache-2.0", "apache-2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "bsd-2-clause": "BSD-2-Clause", "mit": "MIT",
    "mit license": "MIT", "isc": "ISC", "mpl-2.0": "MPL-2.0", "psf-2.0": "PSF-2.0", "psf": "PSF-2.0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Distribution:
    """`expression` is SPDX where the metadata says as much, `licence` what it says in its own words."""

    wheel: Wheel
    summary: str
    homepage: str
    expression: str
    licence: str
    texts: tuple[str, ...]  # paths of licence files, as in site-packages

    @classmethod
    def read(cls, wheel: Wheel) -> Distribution:
        """BadArtefact where the wheel has no metadata."""
        try:
            with zipfile.ZipFile(wheel.path) as archive:
                names = archive.namelist()
                about = next((n for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)), None)
                if about is None:
                    raise BadArtefact(f"{wheel.path}: has no METADATA: not a wheel")
                text = archive.read(about).decode("utf-8", "replace")
        except (OSError, zipfile.BadZipFile) as e:
            raise BadArtefact(f"{wheel.path}: not a wheel that can be read ({e})") from e
        headers = HeaderParser().parsestr(text)
        classified = [c.rpartition(" :: ")[2] for c in headers.get_all("Classifier", []) if c.startswith("License ::")]
        words = headers.get("License-Expression") or headers.get("License") or ", ".join(classified)
        return cls(
            wheel,
            headers.get("Summary") or "",
            _homepage(headers.get("Home-page"), headers.get_all("Project-URL", [])),
            _expression(headers.get("License-Expression"), headers.get("License"), classified),
            " ".join(words.split())[:200] if len(words) < 2000 else (", ".join(classified) or "in its licence files"),
            tuple(sorted(n for n in names if _LICENCES.fullmatch(n))),
        )


def _expression(said: str | None, licence: str | None, classified: list[str]) -> str:
    if said and len(said) < 200:
        return " ".join(said.split())
    short = " ".join((licence or "").split())
    if known := _KNOWN.get(short.lower()):
        return known
    if short and len(short) < 60 and _SIMPLE.fullmatch(short) and "-" in short:
        return short
    found = [_SPDX[c] for c in classified if _SPDX.get(c)]
    return found[0] if len(found) == 1 and len(classified) == 1 else ""


def _homepage(page: str | None, urls: list[str]) -> str:
    if page and page.strip().upper() != "UNKNOWN":
        return page.strip()
    pairs = {name.strip().lower(): url.strip() for name, _, url in (u.partition(",") for u in urls)}
    wanted = ("homepage", "home", "repository", "source", "source code", "documentation")
    return next((pairs[name] for name in wanted if name in pairs), "")
