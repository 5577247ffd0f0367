"""Wheel files: which wheel a file of site-packages is of, by the RECORD that each installed one has (PEP 376)."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from ..image import places
from ..image.prune import pruned_by
from ..image.wheel import inside, seen_from
from .contents import FOLDER, Contents
from .record import Record

_SHOWN = 5  # wheels of a folder
SITE = re.compile(r"(?P<site>.*/(site|dist)-packages)/(?P<path>.+)")
_RECORD = re.compile(r"(?P<folder>(?P<name>[^/]+)-(?P<version>[^/-]+)\.dist-info)/RECORD")


@dataclass(frozen=True, slots=True)
class WheelFiles:
    """Of an image; `record`, if it is of Gantline, says which file each wheel was."""

    contents: Contents
    record: Record | None

    def owner(self, at: str) -> tuple[str, str, dict[str, str]] | None:
        """Kind, a line and more about the wheel that put a path there; None if it is of none."""
        site, path = self._site(at)
        if not site:
            return None
        layer = self.contents.paths[at].layer
        if self.contents.paths[at].kind == FOLDER:
            return self._owners(at, site, path)
        inner, path = path, source_of(path)
        # of two wheels that list it the last one's was kept
        for name, version, listed in sorted(self._records(site, layer), key=lambda r: _normal(r[0]), reverse=True):
            first = path.partition("/")[0]
            if path in listed or first == f"{name.replace('-', '_')}-{version}.dist-info":
                made = {"made of": f"/{site}/{path}"} if path != inner else {}
                return "wheel", f"wheel {_normal(name)} {version}", {**self._locked(name, version), **made}
        return None

    def _owners(self, at: str, site: str, folder: str) -> tuple[str, str, dict[str, str]] | None:
        """Of a folder: the wheels that have files in it."""
        start = f"{folder}/"
        held = sorted({held.layer for _, held in self.contents.below(at)})
        records = (one for layer in held for one in self._records(site, layer))
        found = sorted((_normal(n), n, v) for n, v, listed in records if any(p.startswith(start) for p in listed))
        if not found:
            return None
        if len(found) == 1:
            ((shown, name, version),) = found
            return "wheel", f"wheel {shown} {version}", self._locked(name, version)
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return "wheel", "wheels " + ", ".join(f"{shown} {v}" for shown, _, v in found[:_SHOWN]) + more, {}

    def _site(self, at: str) -> tuple[str, str]:
        """The site-packages whose wheels may have put a path there, and the path as seen from it; empty: none."""
        if match := SITE.fullmatch(at):
            return match["site"], match["path"]
        for environment in (places.ENVIRONMENT, places.SCRIPT_ENVIRONMENT) if self.record else ():
            if self.record and at.startswith(f"{environment}/"):
                site = places.site(environment, self.record.lock.python)
                return site, seen_from(site, at)
        return "", ""

    def left_out(self, at: str) -> str:
        """Which rule left a path out of its wheel, in a line; empty where none has."""
        site, path = self._site(at)
        layers = range(len(self.contents.image.layers)) if site else ()
        for name, version, listed in (one for layer in layers for one in self._records(site, layer)):
            if path in listed and (rule := pruned_by(_normal(name), path)):
                return f"wheel {_normal(name)} {version} has it, and the rule {rule!r} leaves it out"
        return ""

    def _records(self, site: str, layer: int) -> list[tuple[str, str, set[str]]]:
        """Name, version and files, below site-packages, of each wheel in a layer."""
        wanted = {}
        for path, held in self.contents.paths.items():
            match = _RECORD.fullmatch(path.removeprefix(site + "/")) if held.layer == layer else None
            if match is not None and path.startswith(site + "/"):
                wanted[path] = (match["name"], match["version"])
        if not wanted:
            return []
        texts = self.contents.read(layer, wanted)
        return [(*named, _listed(texts.get(path, b""))) for path, named in wanted.items()]

    def _locked(self, name: str, version: str) -> dict[str, str]:
        if self.record is None:
            return {}
        for one in self.record.lock.packages:
            if _normal(one.name) == _normal(name) and one.version == version:
                asked = {"asked for by": ", ".join(one.asked)} if one.asked else {}
                return {"file": one.file, "wheel": one.digest, **asked}
        return {}


def source_of(path: str) -> str:
    """Of bytecode, the source that it was made of; else the path itself."""
    match = re.fullmatch(r"(.*/)?__pycache__/([^/]+)\.cpython-\d+\.pyc", path)
    return f"{match[1] or ''}{match[2]}.py" if match else path


def _listed(record: bytes) -> set[str]:
    rows = csv.reader(io.StringIO(record.decode("utf-8", "replace")))
    return {inside(row[0]) for row in rows if row} - {""}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
