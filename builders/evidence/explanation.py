"""Explanation: what put a file into an image, or which rule left it out."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gantline.errors import NotFound
from gantline.oci.image import Image
from gantline.oci.store import Store
from gantline.packages import MANIFEST

from ..image import places
from ..image.rootfs import rule_against
from .contents import FILE, FOLDER, HARD, Contents
from .debian_files import owner_in_base, owner_in_debs
from .record import Record
from .wheel_files import WheelFiles, source_of


@dataclass(frozen=True, slots=True)
class Explanation:
    """`source` says in a line what put the file there, or left it out; `kind` says so in one word, for programs.

    `path` is relative to the root, where links of `asked` lead. `layer` counts from the base up, from 1; 0: in none.
    """

    asked: str
    path: str
    kind: str
    source: str
    layer: int = 0
    title: str = ""
    digest: str = ""  # of the layer
    about: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        layer = {"number": self.layer, "title": self.title, "digest": self.digest} if self.layer else None
        return {
            "asked": self.asked, "path": self.path, "kind": self.kind, "source": self.source, "layer": layer,
            "about": self.about,
        }  # fmt: skip


def explain(store: Store, image: Image, path: str, ref: str) -> Explanation:
    """NotFound for a path that is not in the image, and that no rule has left out."""
    contents = Contents(store, image)
    record = Record.read(store, image)
    asked = posixpath.normpath("/" + path.lstrip("/"))
    at = contents.resolve(asked)
    held = contents.paths.get(at)
    if held is None:
        return _absent(contents, record, asked, at, ref)
    kind, source, about = _source(contents, record, at)
    size = {"bytes": str(held.size)} if held.kind == FILE else {}
    digest = {"digest": contents.digest(at)} if held.kind == FILE else {}
    link = {"link to": "/" + held.link} if held.kind == HARD else {}
    what = {"is a": "directory"} if held.kind == FOLDER else {}
    return Explanation(
        asked, "/" + at, kind, source, held.layer + 1, contents.title(held.layer), image.layers[held.layer].digest,
        {**what, **link, **size, **digest, **about},
    )  # fmt: skip


def _source(contents: Contents, record: Record | None, at: str) -> tuple[str, str, dict[str, str]]:
    """Kind, a line, and what else there is to know."""
    layer = contents.paths[at].layer
    if found := WheelFiles(contents, record).owner(at):
        return found
    if record is not None and layer >= record.below:
        return _ours(contents, record, at)
    base = f"base {record.base}" if record is not None else "the image"
    if debian := owner_in_base(contents, at, record.below if record is not None else len(contents.image.layers)):
        return "debian", f"Debian package {debian} of {base}", {}
    return "base", f"{base}: layer {layer + 1}, of no package", {}


def _ours(contents: Contents, record: Record, at: str) -> tuple[str, str, dict[str, str]]:
    """What Gantline itself put there, besides wheels."""
    held = contents.paths[at]
    title = contents.title(held.layer)
    if title.startswith("debs "):
        return "debian", owner_in_debs(record.lock.debs or (), at) or f"one of {title}", {}
    if at == record.folder or at.startswith(record.folder + "/"):
        return _of_package(record, at.removeprefix(record.folder).strip("/"))
    if at.startswith(places.EVIDENCE + "/"):
        return "evidence", "written by `gantline build`: what the image is made of", {}
    if at.startswith(f"{places.LIBRARY}/gantline/"):
        return "gantline", f"Gantline {record.runtime}: {_module(at.removeprefix(places.LIBRARY + '/'))}", {}
    if held.kind == FOLDER:
        return "folder", "a directory, of the first layer that has something in it", {}
    return "gantline", f"Gantline {record.runtime}: written by `gantline build` for the environment", {}


def _of_package(record: Record, inside: str) -> tuple[str, str, dict[str, str]]:
    package = {"package": f"{record.manifest.name} {record.manifest.digest}"}
    listed = next((f for f in record.manifest.files if f.path == inside), None)
    if listed is None:
        what = "the manifest" if inside == MANIFEST else "a directory"
        return "package", f"{what} of package {record.manifest.name}", package
    role = record.role(inside)
    return role, f"{role} of package {record.manifest.name}: {inside}", {"package file": inside, **package}


def _module(path: str) -> str:
    """`gantline.serve.core` of its source, or of its bytecode."""
    source = source_of(path)
    stem, dot, suffix = source.rpartition(".")
    return "module " + stem.replace("/", ".").removesuffix(".__init__") if dot and suffix == "py" else source


def _absent(contents: Contents, record: Record | None, asked: str, at: str, ref: str) -> Explanation:
    if found := WheelFiles(contents, record).left_out(at):
        return Explanation(asked, "/" + at, "left out", found)
    from_file = record is not None and "org.opencontainers.image.base.digest" not in contents.image.labels
    if from_file and record is not None and (rule := rule_against(at)):
        return Explanation(asked, "/" + at, "left out", f"what a base has there is left out by the rule {rule!r}")
    near = next(_near(contents, at), "")
    hint = f"; did you mean /{near}?" if near else ""
    raise NotFound(f"{ref}: has no {asked}, and no rule has left it out{hint}")


def _near(contents: Contents, at: str) -> Iterator[str]:
    folder, _, name = at.rpartition("/")
    named = [p for p in contents.paths if p.rpartition("/")[2] == name]
    yield from difflib.get_close_matches(at, named, 1, 0.0)
    beside = [p for p in contents.paths if p.rpartition("/")[0] == folder]
    yield from difflib.get_close_matches(at, beside, 1, 0.6)
