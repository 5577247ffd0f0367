"""Difference: what two images have in common and what not: layers, wheels, Debian packages, settings, files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gantline.oci.descriptor import Descriptor
from gantline.oci.image import Image
from gantline.oci.store import Store

from .contents import Contents, Held
from .record import Record

_BY_NAME = ("Labels", "Env")  # told name by name
_BUILDERS = ("Hostname", "Domainname", "Image")  # of the container or image that an engine built it from: not acted on
_MOST = 1000  # paths that are listed


@dataclass(frozen=True, slots=True)
class Change:
    """`area`: wheel, debian, gantline, base, model, code, golden, package or setting. An empty side: not there."""

    area: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Layers:
    """How many layers, and of how many bytes as stored, both have; and those that one alone has, by title."""

    same: int
    same_bytes: int
    removed: tuple[tuple[str, Descriptor], ...]
    added: tuple[tuple[str, Descriptor], ...]


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of the two, however they are divided into layers; `same`: how many are alike.

    Folders and links are among them; modes and owners count, times do not.
    """

    same: int = 0
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For programs: how many, and the first of them."""
        sides = {"removed": self.removed, "added": self.added, "changed": self.changed}
        paths = {side: [f"/{path}" for path in found[:_MOST]] for side, found in sides.items()}
        return {"same": self.same, **{f"{side}_count": len(found) for side, found in sides.items()}, **paths}


@dataclass(frozen=True, slots=True)
class Difference:
    """From one image to another. `pulled`: bytes that whoever has the first gets when the second is pulled."""

    before: Image
    after: Image
    layers: Layers
    changes: tuple[Change, ...]
    pulled: int
    files: Files = Files()

    @property
    def same(self) -> bool:
        """Whether the two are one."""
        return self.before.descriptor.digest == self.after.descriptor.digest

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        sides = ("removed", self.layers.removed), ("added", self.layers.added)
        return {
            "before": {"id": self.before.id, "digest": self.before.descriptor.digest},
            "after": {"id": self.after.id, "digest": self.after.descriptor.digest},
            "same": self.same,
            "layers": {
                "same": self.layers.same,
                "same_bytes": self.layers.same_bytes,
                **{side: [{"title": t, "digest": d.digest, "bytes": d.size} for t, d in of] for side, of in sides},
            },
            "changes": [
                {"area": c.area, "name": c.name, "before": c.before or None, "after": c.after or None}
                for c in self.changes
            ],
            "files": self.files.to_json(),
            "pull_bytes": self.pulled,
        }


def difference(store: Store, before: Image, after: Image) -> Difference:
    """Read both and compare. Of an image that Gantline did not build, layers, files and settings alone are told."""
    changes = [*_settings(before, after)]
    layers = _layers(before, after)
    if before.descriptor.digest == after.descriptor.digest:
        return Difference(before, after, layers, (), 0)
    records = Record.read(store, before), Record.read(store, after)
    held = Contents(store, before).paths, Contents(store, after).paths
    if records[0] is not None and records[1] is not None:
        changes = [*_parts((before, records[0], held[0]), (after, records[1], held[1])), *changes]
    return Difference(before, after, layers, tuple(changes), _pulled(before, after), _files(*held))


def _files(before: Mapping[str, Held], after: Mapping[str, Held]) -> Files:
    both = before.keys() & after.keys()
    changed = {path for path in both if before[path].what != after[path].what}
    return Files(
        len(both) - len(changed),
        tuple(sorted(before.keys() - both)),
        tuple(sorted(after.keys() - both)),
        tuple(sorted(changed)),
    )


def _layers(before: Image, after: Image) -> Layers:
    old = {layer.digest for layer in before.layers}
    new = {layer.digest for layer in after.layers}
    same = {layer.digest: layer.size for layer in after.layers if layer.digest in old}
    return Layers(
        len(same),
        sum(same.values()),
        tuple((t, d) for t, d in _titled(before) if d.digest not in new),
        tuple((t, d) for t, d in _titled(after) if d.digest not in old),
    )


def _titled(image: Image) -> Iterator[tuple[str, Descriptor]]:
    lines = [h for h in image.config.get("history") or [] if isinstance(h, dict) and not h.get("empty_layer")]
    told = len(lines) == len(image.layers)
    for number, layer in enumerate(image.layers):
        yield str(lines[number].get("created_by") or "") if told else f"layer {number + 1}", layer


def _pulled(before: Image, after: Image) -> int:
    had = {before.descriptor.digest, before.id, *(layer.digest for layer in before.layers)}
    blobs = {d.digest: d.size for d in (after.descriptor, after.config_descriptor, *after.layers)}
    return sum(size for digest, size in blobs.items() if digest not in had)


Side = tuple[Image, Record, Mapping[str, Held]]


def _parts(before: Side, after: Side) -> Iterator[Change]:
    (_, one, _), (_, other, _) = before, after
    if one.base != other.base or _held_below(before) != _held_below(after):
        yield Change("base", "base", _base(*before[:2]), _base(*after[:2]))
    yield from _changes("base", {"python": one.python}, {"python": other.python})
    yield from _changes("gantline", {"gantline": one.runtime}, {"gantline": other.runtime})
    yield from _changes("wheel", _wheels(one), _wheels(other))
    yield from _changes("debian", one.debs, other.debs)
    if one.manifest.name != other.manifest.name:
        yield Change("package", "name", one.manifest.name, other.manifest.name)
    if one.manifest.digest != other.manifest.digest:
        yield Change("package", "digest", one.manifest.digest, other.manifest.digest)
    for found in _changes("", _packaged(one), _packaged(other)):
        record = other if found.after else one
        yield Change(record.role(found.name), found.name, found.before, found.after)


def _held_below(side: Side) -> object:
    """What tells one base from another: its layers, or what an engine made of them."""
    _, record, held = side
    return {path: one.what for path, one in held.items() if one.layer < record.below}


def _base(image: Image, record: Record) -> str:
    """Its name, and for people the beginnings of its layers' digests."""
    return f"{record.base} ({', '.join(d[7:19] for d in image.diff_ids[: record.below])})"


def _wheels(record: Record) -> dict[str, str]:
    """By name; the wheel's own digest where the version does not tell two apart."""
    apart = record.lock.apart
    return {
        f"{p.name}{f' ({group})' if apart else ''}": f"{p.version} {p.digest[:19]}"
        for p in record.lock.packages
        for group in p.groups
    }


def _packaged(record: Record) -> dict[str, str]:
    return {f.path: f.digest for f in record.manifest.files}


def _settings(before: Image, after: Image) -> Iterator[Change]:
    for name in sorted({*before.settings, *after.settings} - {*_BY_NAME, *_BUILDERS}):
        yield from _changes("setting", _shown(before, name), _shown(after, name))
    yield from _changes("setting", _environment(before), _environment(after))
    told = {"org.opencontainers.image.base.", "dev.gantline.package."}  # told as base and package

    def labels(image: Image) -> dict[str, str]:
        return {f"label {k}": v for k, v in image.labels.items() if not k.startswith(tuple(told))}

    yield from _changes("setting", labels(before), labels(after))
    for key in ("created", "architecture", "os", "variant"):
        yield from _changes("setting", {key: str(before.config.get(key, ""))}, {key: str(after.config.get(key, ""))})


def _shown(image: Image, name: str) -> dict[str, str]:
    """A setting in lines, one for each of its keys. What is false or empty is as good as none: engines write it."""
    value = image.settings.get(name)
    if not value:
        return {}
    if isinstance(value, dict) and any(value.values()):
        return {f"{name}.{key}": _text(one) for key, one in value.items() if one}
    return {name: ", ".join(sorted(value)) if isinstance(value, dict) else _text(value)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _environment(image: Image) -> dict[str, str]:
    return {f"variable {k}": v for k, _, v in (line.partition("=") for line in image.settings.get("Env") or [])}


def _changes(area: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if before.get(name, "") != after.get(name, ""):
            yield Change(area, name, before.get(name, ""), after.get(name, ""))
