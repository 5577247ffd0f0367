"""Lock: every wheel of an environment by URL, size and digest, in PEP 751's form (pylock.toml)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, GantlineError, UsageError
from gantline.oci.platforms import Platform

from ..image.deb import Deb
from .asked import RUNTIME, SCRIPT, Asked
from .solver import Offer
from .target import Target

FORMAT = 1  # of [tool.gantline]
_GROUPS = (RUNTIME, SCRIPT)
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Locked:
    """One wheel. `url` empty: it was found in a directory, and is known by `file` and `digest` alone.

    `asked`: the requirement lines that led to it; `groups`: the environments that hold it; `source`: the archive that
    it was built of, if it was.
    """

    name: str
    version: str
    file: str
    digest: str
    size: int
    url: str = ""
    groups: tuple[str, ...] = (RUNTIME,)
    asked: tuple[str, ...] = ()
    source: Offer | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """The wheels for one platform, sorted by name. `apart`: what serves and what the script needs cannot be one.

    `debs`: the Debian packages that a build added to its base; None where no base was looked at. `allowed`: libraries
    that it let be missing.
    """

    target: Target
    packages: tuple[Locked, ...]
    asked: tuple[Asked, ...] = ()
    indexes: tuple[str, ...] = ()
    apart: bool = False
    debs: tuple[Deb, ...] | None = None
    allowed: tuple[str, ...] = ()

    @property
    def platform(self) -> Platform:
        return self.target.platform

    @property
    def python(self) -> tuple[int, int]:
        return self.target.python

    def only(self, group: str) -> Lock:
        """The lock of one of its environments, `runtime` or `script`; where they are not apart, the whole is both's."""
        if not self.apart:
            return self
        return replace(self, packages=tuple(p for p in self.packages if group in p.groups))

    def to_bytes(self) -> bytes:
        """The file; the same lock has the same bytes."""
        head: dict[str, Any] = {
            "lock-version": "1.0",
            "environments": [self.target.marker],
            "requires-python": f"=={self.target.version}.*",
        }
        if self.apart:
            head |= {"dependency-groups": list(_GROUPS), "default-groups": list(_GROUPS[:1])}
        blocks = [
            "# What `gantline build` puts into images for this platform.\n" + _table(head | {"created-by": "gantline"})
        ]
        blocks += [self._package(package) for package in self.packages]
        glibc = ".".join(map(str, self.target.glibc))
        about = {"format": FORMAT, "platform": str(self.platform), "python": self.target.version, "glibc": glibc}
        none: dict[str, Any] = {"debs": []} if self.debs == () else {}
        if self.allowed:
            none["allow-missing"] = list(self.allowed)
        blocks.append("[tool.gantline]\n" + _table(about | {"indexes": list(self.indexes)} | none))
        for one in self.asked:
            entry: dict[str, Any] = {"line": one.shown, "origin": one.origin, "group": one.group}
            if one.hashes:
                entry["hashes"] = list(one.hashes)
            blocks.append("[[tool.gantline.requirements]]\n" + _table(entry))
        blocks += ["[[tool.gantline.debs]]\n" + _table(one.to_json()) for one in self.debs or ()]
        return "\n".join(blocks).encode()

    def _package(self, package: Locked) -> str:
        wheel: dict[str, Any] = {"name": package.file}
        wheel |= {"url": package.url} if package.url else {"path": package.file}
        wheel |= {"size": package.size, "hashes": {"sha256": package.digest.removeprefix("sha256:")}}
        entry: dict[str, Any] = {"name": package.name, "version": package.version}
        if self.apart:
            entry["marker"] = " or ".join(f"'{group}' in dependency_groups" for group in package.groups)
        entry["wheels"] = [wheel]
        about: dict[str, Any] = {"asked": list(package.asked)}
        if package.source is not None:
            about["built-from"] = _source(package.source)
        return f"[[packages]]\n{_table(entry)}[packages.tool.gantline]\n{_table(about)}"

    @classmethod
    def read(cls, path: Path) -> Lock:
        """UsageError where there is no such file, BadArtefact where it is no lock of ours."""
        try:
            data = path.read_bytes()
        except OSError as e:
            raise UsageError(f"{path}: cannot be read ({e.strerror}); make a lock with `gantline lock`") from e
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Lock:
        """BadArtefact (naming `where`) for anything but a lock that Gantline wrote."""
        try:
            tree = tomllib.loads(data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise BadArtefact(f"{where}: not TOML ({e})") from e
        if str(tree.get("lock-version", "")).split(".")[0] != "1":
            raise BadArtefact(f"{where}: not a pylock.toml of version 1 (PEP 751)")
        about = tree.get("tool", {}).get("gantline") if isinstance(tree.get("tool", {}), dict) else None
        if not isinstance(about, dict):
            by = str(tree.get("created-by", "something else"))[:40]
            raise BadArtefact(f"{where}: made by {by}, and does not say for which platform; run `gantline lock`")
        if about.get("format") != FORMAT:
            raise BadArtefact(f"{where}: format {about.get('format')!r:.20}; this Gantline reads {FORMAT}: lock again")
        try:
            packages = tuple(_read_packages(tree))
            asked = tuple(
                Asked(str(r["line"]), str(r["origin"]), str(r["group"]), tuple(map(str, r.get("hashes", ()))))
                for r in about.get("requirements", ())
            )
            target = Target(Platform.parse(about["platform"]), _pair(about["python"]), _pair(about["glibc"]))
            debs = tuple(Deb.from_json(one, "debs") for one in about["debs"]) if "debs" in about else None
            indexes, allowed = tuple(map(str, about["indexes"])), tuple(map(str, about.get("allow-missing", ())))
            return cls(target, packages, asked, indexes, "dependency-groups" in tree, debs, allowed)
        except GantlineError as e:
            raise BadArtefact(f"{where}: {e.message}") from e
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as e:
            raise BadArtefact(f"{where}: damaged ({type(e).__name__}: {e}); lock again") from e


def _source(source: Offer) -> dict[str, Any]:
    """An archive; not as PEP 751's `sdist`, which would have other installers build it, and be named as they want."""
    where = {"url": source.url} if source.url else {}
    hashes = {"sha256": source.digest.removeprefix("sha256:")}
    return {"name": source.file, **where, "size": source.size, "hashes": hashes}


def _read_source(tree: Any) -> Offer | None:
    if tree is None:
        return None
    digest = str(tree["hashes"]["sha256"])
    return Offer(str(tree["name"]), str(tree.get("url", "")), f"sha256:{digest}", int(tree["size"]))


def _read_packages(tree: Mapping[str, Any]) -> Iterator[Locked]:
    for package in tree.get("packages", ()):
        (wheel,) = package["wheels"]
        file, digest = str(wheel["name"]), str(wheel["hashes"]["sha256"])
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not re.fullmatch(r"[\w.+!-]+\.whl", file):
            raise ValueError(f"{package['name']}: wheel {file!r:.80} with digest {digest!r:.80}")
        marker = str(package.get("marker", ""))
        groups = tuple(group for group in _GROUPS if f"'{group}'" in marker) or (RUNTIME,)
        about = package["tool"]["gantline"]
        asked = tuple(map(str, about["asked"]))
        yield Locked(
            str(package["name"]), str(package["version"]), file, f"sha256:{digest}", int(wheel["size"]),
            str(wheel.get("url", "")), groups, asked, _read_source(about.get("built-from")),
        )  # fmt: skip


def _pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _table(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    """A value in TOML, whose strings are JSON's but for one character."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if len(value) > 1:
        return "[\n" + "".join(f"    {_value(one)},\n" for one in value) + "]"
    return "[" + "".join(map(_value, value)) + "]"
