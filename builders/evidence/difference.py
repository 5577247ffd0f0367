"""Difference: what two images have in common and what not: layers, wheels, Debian packages, package, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gantline.oci.descriptor import Descriptor
from gantline.oci.image import Image
from gantline.oci.store import Store

from .record import Record

_BY_NAME = ("Labels", "Env")  # told name by name


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
class Difference:
    """From one image to another. `pulled`: bytes that whoever has the first gets when the second is pulled."""

    before: Image
    after: Image
    layers: Layers
    changes: tuple[Change, ...]
    pulled: int

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
            "pull_bytes": self.pulled,
        }


def difference(store: Store, before: Image, after: Image) -> Difference:
    """Read both and compare. Of an image that Gantline did not build, layers and settings alone are told."""
    records = Record.read(store, before), Record.read(store, after)
    changes = [*_settings(before, after)]
    if records[0] is not None and records[1] is not None:
        changes = [*_parts(before, after, *records), *changes]
    return Difference(before, after, _layers(before, after), tuple(changes), _pulled(before, after))


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


def _parts(before: Image, after: Image, one: Record | None, other: Record | None) -> Iterator[Change]:
    assert one is not None and other is not None
    bases = _base(before, one), _base(after, other)
    if bases[0] != bases[1]:
        yield Change("base", "base", *bases)
    yield from _changes("gantline", {"gantline": one.runtime}, {"gantline": other.runtime})
    yield from _changes("wheel", _wheels(one), _wheels(other))
    yield from _changes("debian", one.debs, other.debs)
    if one.manifest.name != other.manifest.name:
        yield Change("package", "name", one.manifest.name, other.manifest.name)
    if one.manifest.digest != other.manifest.digest:
        yield Change("package", "digest", one.manifest.digest, other.manifest.digest)
    for found in _changes("", _files(one), _files(other)):
        record = other if found.after else one
        yield Change(record.role(found.name), found.name, found.before, found.after)


def _base(image: Image, record: Record) -> str:
    """What tells one base from another: its layers, and a name for people."""
    return f"{record.base} ({', '.join(d[7:19] for d in image.diff_ids[: record.below])})"


def _wheels(record: Record) -> dict[str, str]:
    """By name; the wheel's own digest where the version does not tell two apart."""
    apart = record.lock.apart
    return {
        f"{p.name}{f' ({group})' if apart else ''}": f"{p.version} {p.digest[:19]}"
        for p in record.lock.packages
        for group in p.groups
    }


def _files(record: Record) -> dict[str, str]:
    return {f.path: f.digest for f in record.manifest.files}


def _settings(before: Image, after: Image) -> Iterator[Change]:
    names = sorted({*before.settings, *after.settings} - {*_BY_NAME})
    for name in names:
        yield from _changes("setting", _shown(before, name), _shown(after, name))
    yield from _changes("setting", _environment(before), _environment(after))
    told = {"org.opencontainers.image.base.", "dev.gantline.package."}  # told as base and package

    def labels(image: Image) -> dict[str, str]:
        return {f"label {k}": v for k, v in image.labels.items() if not k.startswith(tuple(told))}

    yield from _changes("setting", labels(before), labels(after))
    for key in ("created", "architecture", "os", "variant"):
        yield from _changes("setting", {key: str(before.config.get(key, ""))}, {key: str(after.config.get(key, ""))})


def _shown(image: Image, name: str) -> dict[str, str]:
    value = image.settings.get(name)
    return {name: value if isinstance(value, str) else repr(value)} if value is not None else {}


def _environment(image: Image) -> dict[str, str]:
    return {f"variable {k}": v for k, _, v in (line.partition("=") for line in image.settings.get("Env") or [])}


def _changes(area: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if before.get(name, "") != after.get(name, ""):
            yield Change(area, name, before.get(name, ""), after.get(name, ""))
