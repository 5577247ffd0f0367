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
from .contents import FILE, FOLDER, HARD, LINK, Contents
from .debian_files import owner_in_debs, owners_in_base
from .record import Record
from .wheel_files import WheelFiles, source_of

_SHOWN = 4  # of packages and layers of a directory


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
    """NotFound for a path that is not in the image, and that neither a rule nor a layer has taken away."""
    contents = Contents(store, image)
    record = Record.read(store, image)
    asked = "/" + posixpath.normpath("/" + path).lstrip("/")
    at = contents.resolve(asked)
    about: dict[str, str] = {}
    if link := contents.link_at(asked):
        held = contents.paths[link]
        if at and at not in contents.paths:
            return _told(contents, record, asked, link, {"leads to": f"/{at}, where this image has nothing"})
        about["by link"] = f"/{link} -> {held.link}, of {_source(contents, record, link)[1]}"
    if not at and image.layers:
        return Explanation(asked, "/", "folder", "the root, which every layer adds to", 1, contents.title(0),
                           image.layers[0].digest, {"is a": "directory", **_holding(contents, "")})  # fmt: skip
    if at not in contents.paths:
        return _absent(contents, record, asked, at, ref)
    return _told(contents, record, asked, at, about)


def _told(contents: Contents, record: Record | None, asked: str, at: str, about: dict[str, str]) -> Explanation:
    """What is known of a path that is there."""
    held = contents.paths[at]
    kind, source, more = _source(contents, record, at)
    if held.kind == FOLDER:
        what = {"is a": "directory", **_holding(contents, at)}
    else:
        what = {LINK: {"is a": "link", "leads to": held.link}, HARD: {"link to": "/" + held.link}}.get(held.kind, {})
        what |= {"bytes": str(held.size), "digest": held.digest} if held.digest else {}
    if held.over >= 0:
        what["replaces"] = f"what layer {held.over + 1} has there: {contents.title(held.over)[:80] or 'untitled'}"
    return Explanation(
        asked, "/" + at, kind, source, held.layer + 1, contents.title(held.layer),
        contents.image.layers[held.layer].digest, {**what, **about, **more},
    )  # fmt: skip


def _holding(contents: Contents, at: str) -> dict[str, str]:
    """What a directory holds, and by which layers, those with most of it first."""
    inside = [held for _, held in contents.below(at) if held.kind == FILE]
    by_layer: dict[int, int] = {}
    for held in inside:
        by_layer[held.layer] = by_layer.get(held.layer, 0) + held.size
    heavy = sorted(by_layer, key=lambda n: (-by_layer[n], n))
    names = [f"{n + 1} ({contents.title(n)[:40] or 'untitled'})" for n in heavy[:_SHOWN]]
    more = f" and {len(heavy) - _SHOWN} more" if len(heavy) > _SHOWN else ""
    found = {"holds": f"{len(inside)} files, {sum(by_layer.values())} bytes"}
    return found | ({"of layers": ", ".join(names) + more} if names else {})


def _source(contents: Contents, record: Record | None, at: str) -> tuple[str, str, dict[str, str]]:
    """Kind, a line, and what else there is to know."""
    layer = contents.paths[at].layer
    if found := WheelFiles(contents, record).owner(at):
        return found
    if record is not None and layer >= record.below:
        return _ours(contents, record, at)
    base = f"base {record.base}" if record is not None else "the image"
    debian = owners_in_base(contents, at, record.below if record is not None else len(contents.image.layers))
    if len(debian) > 1:
        return "debian", f"{len(debian)} Debian packages of {base}: {', '.join(debian[:_SHOWN])} ...", {}
    if debian:
        return "debian", f"Debian package {debian[0]} of {base}", {}
    return "base", f"{base}: layer {layer + 1}, of no package", {}


def _ours(contents: Contents, record: Record, at: str) -> tuple[str, str, dict[str, str]]:
    """What Gantline itself put there, besides wheels."""
    held = contents.paths[at]
    inside = f"{at}/".startswith(f"{places.ROOT}/")
    if not inside and (source := source_of(at)) != at:
        return "bytecode", f"compiled by `gantline build`, since the base has only /{source}", {"made of": f"/{source}"}
    if not inside and held.kind != FOLDER:
        return "debian", owner_in_debs(record.lock.debs or (), at) or "one of the Debian packages of its lock", {}
    if at == record.folder or at.startswith(record.folder + "/"):
        return _of_package(record, at.removeprefix(record.folder).strip("/"))
    if f"{at}/".startswith(f"{places.EVIDENCE}/"):
        return "evidence", "written by `gantline build`: what the image is made of", {}
    if f"{at}/".startswith(f"{places.LIBRARY}/gantline/"):
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
    if (remover := contents.removed.get(at)) is not None:
        title = contents.title(remover)[:80] or "untitled"
        return Explanation(
            asked, "/" + at, "left out", f"a lower layer has it, and layer {remover + 1} removes it: {title}"
        )
    near = next(_near(contents, at), "")
    hint = f"; did you mean /{near}?" if near else ""
    raise NotFound(f"{ref}: has no {asked}, and neither a rule nor a layer has taken it away{hint}")


def _near(contents: Contents, at: str) -> Iterator[str]:
    folder, _, name = at.rpartition("/")
    named = [p for p in contents.paths if p.rpartition("/")[2] == name]
    yield from difflib.get_close_matches(at, named, 1, 0.0)
    beside = [p for p in contents.paths if p.rpartition("/")[0] == folder]
    yield from difflib.get_close_matches(at, beside, 1, 0.6)
