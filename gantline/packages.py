"""Package: a directory with a manifest, model files, an optional scoring script and golden samples; immutable.

The module is in the plural because `gantline.package` is the function that makes one.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .blobs import canonical_json, sha256_file
from .errors import BadArtefact, UsageError, VerificationFailed
from .manifest import File, Manifest

MANIFEST = "manifest.json"
LINEAGE = "lineage.json"  # beside the content: not part of the digest
SEALED = "package"  # its key for the digest that the package was sealed with
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_MEDIA = {
    ".onnx": "application/vnd.gantline.model.onnx",
    ".pt2": "application/vnd.gantline.model.torch-export",
    ".pt": "application/vnd.gantline.model.torchscript",
    ".py": "text/x-python",
    ".json": "application/json",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Package:
    """An opened package directory. `digest` is None for a bare model file, which has no manifest of its own."""

    path: Path
    manifest: Manifest
    digest: str | None
    version: str = "1"

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Package:
        """Read the manifest; the files are not hashed (see `verify`). BadArtefact if it is not a package."""
        root = Path(path)
        try:
            data = (root / MANIFEST).read_bytes()
        except FileNotFoundError as e:
            what = "does not exist" if not root.exists() else f"has no {MANIFEST}"
            raise BadArtefact(f"{root}: not a Gantline package ({what}); make one with `gantline package`") from e
        except OSError as e:
            raise BadArtefact(f"{root}: cannot be read: {e.strerror}") from e
        manifest = Manifest.from_bytes(data, str(root / MANIFEST))
        check_name(manifest.name)
        for path_in in _paths(manifest):
            _inside(path_in, root)
            _check_spelling(path_in)
        return cls(root, manifest, manifest.digest)

    @classmethod
    def bare(cls, model: Path, name: str, version: str = "1", **manifest: Any) -> Package:
        """A model file without a manifest, as Triton repositories and `serve model.onnx` have."""
        return cls(model.parent, Manifest(name=name, engine="onnx", model=model.name, **manifest), None, version)

    def _repr_html_(self) -> str:
        from .notebook import package_html

        return package_html(self)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def inline(self) -> bool:
        """Whether its program runs in the process that opens it; a script has one of its own."""
        return self.manifest.engine != "script"

    @property
    def model_path(self) -> Path:
        return self.path / self.manifest.model

    def lineage(self) -> dict[str, Any]:
        """Where the package came from (source digest, git commit, run, data set); empty when unknown."""
        try:
            found = json.loads((self.path / LINEAGE).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as e:
            raise BadArtefact(f"{self.path / LINEAGE}: not JSON ({e})") from e
        return found if isinstance(found, dict) else {}

    def verify_files(self) -> int:
        """Hash every file against the manifest; the number of files. VerificationFailed names the first difference."""
        self._verify_manifest()
        self.verify_listed()
        listed = {f.path for f in self.manifest.files}
        for path_in in _walk(self.path):
            if path_in not in listed and path_in not in (MANIFEST, LINEAGE):
                raise VerificationFailed(f"{self.path / path_in}: not in the manifest; a package is immutable")
        return len(listed)

    def verify_listed(self) -> None:
        """Hash the files that the manifest lists, and look at nothing else; VerificationFailed as above."""
        for f in self.manifest.files:
            path = self.path / f.path
            if not path.is_file():
                raise VerificationFailed(f"{path}: missing; the manifest lists it with {f.digest}")
            if path.stat().st_size != f.size:
                raise VerificationFailed(f"{path}: {path.stat().st_size} bytes, the manifest says {f.size}")
            digest = sha256_file(path)
            if digest != f.digest:
                raise VerificationFailed(f"{path}: digest {digest}, the manifest says {f.digest}")

    def _verify_manifest(self) -> None:
        # the manifest cannot hold its own digest: the lineage does, so that a change by accident shows
        path = self.path / MANIFEST
        if path.read_bytes() != self.manifest.to_bytes():
            raise VerificationFailed(f"{path}: not as it was written: it says the same in another spelling")
        try:
            sealed = self.lineage().get(SEALED, self.digest)
        except BadArtefact as e:
            raise VerificationFailed(e.message) from e
        if sealed != self.digest:
            raise VerificationFailed(f"{path}: digest {self.digest}; {LINEAGE} says it was sealed as {sealed}")


def seal(root: Path, manifest: Manifest, lineage: dict[str, Any]) -> Package:
    """Turn a directory that holds all of a package's files into one: list them, write manifest and lineage.

    Call it inside `blobs.publish_directory`, so that a package appears whole or not at all.
    """
    check_name(manifest.name)
    files = []
    for path in sorted(_walk(root)):
        if path in (MANIFEST, LINEAGE):
            continue
        _check_spelling(path)
        full = root / path
        full.chmod(0o644)
        media = _MEDIA.get(full.suffix.lower(), "application/octet-stream")
        files.append(File(path, sha256_file(full), full.stat().st_size, media))
    manifest = replace(manifest, files=tuple(files))
    # as it will be read back (1 becomes 1.0 where a float belongs), so that the digest is the same then
    manifest = Manifest.from_bytes(manifest.to_bytes(), str(root / MANIFEST))
    (root / MANIFEST).write_bytes(manifest.to_bytes())
    (root / LINEAGE).write_bytes(canonical_json({**lineage, SEALED: manifest.digest}) + b"\n")
    return Package(root, manifest, manifest.digest)


def check_name(name: str) -> str:
    """The name, or UsageError: letters, digits, '.', '_' and '-', as URLs and image tags can carry."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"name {name!r}: use 1 to 128 letters, digits, '.', '_' or '-', a letter or digit at both ends"
        )
    return name


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in files:
            yield Path(folder, name).relative_to(root).as_posix()


def _check_spelling(path: str) -> None:
    """Names of files are UTF-8 in a manifest: read by another encoding they would be other names, and the digest too.

    Nor has one a backslash, by which Windows divides folders.
    """
    if "\\" in path:
        raise BadArtefact(f"file {path!a:.200}: a backslash in its name divides folders on Windows; rename it")
    if path.isascii():
        return
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise UsageError(
            f"file {path!a:.200}: file names are {encoding} in this environment, and UTF-8 in packages; "
            "set PYTHONUTF8=1, or a UTF-8 locale (LC_ALL=C.UTF-8)"
        )
    try:
        path.encode()
    except UnicodeEncodeError as e:
        raise BadArtefact(f"file {path!a:.200}: its name is not UTF-8, as names in packages are; rename it") from e


def _paths(manifest: Manifest) -> Iterator[str]:
    yield from (f.path for f in manifest.files)
    yield from (p for g in manifest.golden for p in (g.request, g.reply))
    if manifest.model:
        yield manifest.model
    if manifest.config:
        yield manifest.config.path
    if manifest.script:
        yield from (p for p in (manifest.script.entry, manifest.script.code, manifest.script.models) if p)


def _inside(path: str, root: Path) -> None:
    if path.startswith("/") or ".." in path.split("/") or "\\" in path or not path:
        raise BadArtefact(f"{root / MANIFEST}: path {path!r} leaves the package")
