"""Base: the image that others are built on: its layers and settings, what files it has, which Python and C library."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.home import home
from gantline.oci.descriptor import Descriptor
from gantline.oci.image import Image
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring

from . import rootfs
from .control import stanzas
from .interpreter import find_interpreter
from .layer import TITLE
from .memory import Memory
from .pins import Pins
from .survey import survey
from .tree import Tree
from .upstream import Upstream, from_archive, from_registry, is_image

_LIBC = re.compile(r"libc(-2\.\d+)?\.so(\.6)?")
_MUSL = re.compile(r"ld-musl-.+\.so\.1")
_LIBRARIES = ("lib", "lib64", "usr/lib", "usr/lib64")


@dataclass(frozen=True, slots=True)
class Base:
    """`layers` are in `store`; `settings` is the config's `config`; `interpreter` the absolute path of its Python.

    `glibc` is (0, 0) where none was found. `notes` say what was done to it that its user may not expect.
    """

    name: str
    platform: Platform
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]
    interpreter: str
    python: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree, compare=False, repr=False)
    glibc: tuple[int, int] = (0, 0)
    system: Mapping[str, str] = field(default_factory=dict)  # os-release(5): ID, VERSION_CODENAME and so on
    notes: tuple[str, ...] = ()
    digest: str = ""  # of its manifest, if it is an image
    pulled: str = ""  # HOST/REPOSITORY@DIGEST, if it came from a registry
    store: Store | None = field(default=None, compare=False, repr=False)

    @property
    def variables(self) -> dict[str, str]:
        """The variables that a container of it starts with."""
        return dict(line.partition("=")[::2] for line in self.settings.get("Env") or [])

    def installed(self) -> dict[str, dict[str, str]]:
        """Debian's packages that it holds, by name: Version, Provides and so on."""
        folder = "var/lib/dpkg/status.d"  # where images without dpkg keep them
        nodes = [
            self.tree.find("var/lib/dpkg/status"),
            *(self.tree.find(f"{folder}/{n}") for n in self.tree.names(folder)),
        ]
        found = [one for node in nodes if node is not None and node.text for one in stanzas(node.text)]
        always = {"Version": "", "Architecture": ""}
        return {
            one["Package"]: always | one
            for one in found
            if one.get("Package") and one.get("Status", "install ok installed").endswith(" installed")
        }

    @property
    def own_python(self) -> str:
        """The version of its Python if that is in no Debian package: 3.11.9, or 3.11 where it does not say the rest."""
        minor = ".".join(map(str, self.python))
        if self.interpreter.startswith("/usr/bin/") and f"python{minor}-minimal" in self.installed():
            return ""
        prefix = self.interpreter.rpartition("/bin/")[0].strip("/")
        paths = self.interpreter.strip("/"), f"{prefix}/lib/libpython{minor}.so.1.0"
        found = (node.text for path in paths if (node := self.tree.find(path)) is not None)
        return next(filter(None, found), minor)


def open_base(
    where: str,
    platform: Platform,
    store: Store,
    python: tuple[int, int] | None = None,
    anew: bool = False,
    wiring: Wiring | None = None,
) -> Base:
    """The base that `where` says: a tar of a root file system, an image's archive or layout, or a registry's name.

    `python` if a certain one is wanted; `anew` asks a registry again what a tag stands for; `wiring` says how it is
    spoken to. UsageError, BadArtefact,
    Unsupported, Unreachable and others say what is wrong with it, and what to do.
    """
    path = Path(where)
    memory = Memory(home() / "bases", 1)
    if not path.exists() and not _is_path(where):
        pins = Pins(home() / "bases" / "pins.json")
        wanted = python or (sys.version_info[0], sys.version_info[1])
        found = from_registry(where, platform, store, memory, pins, wanted, anew, wiring)
        return _of_image(where, found, store, memory, python)
    if not path.exists():
        raise UsageError(f"--base {where}: no such file")
    _check_readable(path, where)
    if is_image(path):
        return _of_image(path.name, from_archive(path, platform, store, memory), store, memory, python)
    if path.is_dir():
        raise UsageError(
            f"--base {where}: no OCI layout; of a root file system pack one tar: tar -C {where} -cf base.tar ."
        )
    return _of_rootfs(path, platform, store, memory, python)


def base_within(image: Image, count: int, name: str, python: tuple[int, int], store: Store) -> Base:
    """The base of an image that was built on it: its lowest `count` layers, with the image's own settings."""
    layers, diff_ids = image.layers[:count], image.diff_ids[:count]
    tree = survey(store, layers, diff_ids, Memory(home() / "bases", 1))
    digest = image.labels.get("org.opencontainers.image.base.digest", "")
    found = _described(name, image.platform, tree, python)
    return replace(
        found, layers=layers, diff_ids=diff_ids, settings=image.settings, digest=digest, store=store
    )  # fmt: skip


def _check_readable(path: Path, where: str) -> None:
    if not path.is_file() and not path.is_dir():
        raise UsageError(f"--base {where}: neither a file nor a directory")
    at = path / "index.json" if path.is_dir() else path
    try:
        with at.open("rb"):
            pass
    except FileNotFoundError:
        pass  # a directory that is no layout
    except OSError as e:
        raise UsageError(f"--base {where}: cannot be read: {e.strerror}") from e


def _is_path(where: str) -> bool:
    """Whether this can only be meant as a path."""
    return where.startswith(("/", ".", "~")) or "\\" in where or where.endswith((".tar", ".gz", ".tgz", ".xz", ".zst"))


def _of_image(name: str, found: Upstream, store: Store, memory: Memory, python: tuple[int, int] | None) -> Base:
    image = found.image
    tree = survey(store, image.layers, image.diff_ids, memory)
    described = _described(name, image.platform, tree, python)
    return replace(
        described, layers=image.layers, diff_ids=image.diff_ids, settings=image.settings, notes=found.notes,
        digest=image.descriptor.digest, pulled=found.pulled, store=store,
    )  # fmt: skip


def _of_rootfs(path: Path, platform: Platform, store: Store, memory: Memory, python: tuple[int, int] | None) -> Base:
    kept = _kept(path, store, memory)
    notes = _left_out(path.name, kept.dropped)
    tree = survey(store, [kept.descriptor], [kept.diff_id], memory)
    found = _described(str(path), platform, tree, python)
    layers, diff_ids = (kept.descriptor,), (kept.diff_id,)
    return replace(found, name=path.name, layers=layers, diff_ids=diff_ids, notes=notes, store=store)


def _kept(path: Path, store: Store, memory: Memory) -> rootfs.Kept:
    """The layer of a tar. Its digest is taken again when the file is not the very one that was seen before."""
    stat = path.stat()
    seen = ["file", str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    digest = memory.recall(seen) or sha256_file(path)
    key = ["rootfs", rootfs.VERSION, digest]
    kept = rootfs.Kept.recalled(memory.recall(key), store)
    if kept is None:
        kept = rootfs.keep_rootfs(path, store)
        memory.keep(key, kept.to_json())
        memory.keep(seen, digest)
    return replace(kept, descriptor=replace(kept.descriptor, annotations={TITLE: f"base {path.name}"}))


def _left_out(name: str, dropped: Mapping[str, int]) -> tuple[str, ...]:
    if not dropped:
        return ()
    what = ", ".join(f"{count} of {rule}" for rule, count in sorted(dropped.items()))
    return (f"base {name}: files left out: {what}",)


def _described(where: str, platform: Platform, tree: Tree, python: tuple[int, int] | None) -> Base:
    glibc = find_glibc(tree)
    if not any(glibc) and any(_MUSL.fullmatch(name) for folder in _LIBRARIES for name in tree.names(folder)):
        raise Unsupported(
            f"base {where}: its C library is musl (Alpine); wheels are built for glibc: take one of Debian, "
            "such as python:3.11-slim"
        )
    found = find_interpreter(tree, where, python)
    node = tree.exact(found.real)
    if node is not None and node.elf is not None and node.elf.architecture != platform.architecture:
        what = node.elf.architecture or "another processor"
        raise BadArtefact(f"base {where}: is for linux/{what}, and the image for {platform}: give a base for each")
    return Base(where, platform, (), (), found.path, found.python, {}, tree, glibc, find_system(tree))


def find_glibc(tree: Tree) -> tuple[int, int]:
    """The version of the C library that a base has, as its own text says; (0, 0) where there is no glibc."""
    folders = [f"{root}/{name}" for root in _LIBRARIES for name in ("", *tree.names(root))]
    for folder in folders:
        for name in tree.names(folder):
            node = tree.find(f"{folder}/{name}") if _LIBC.fullmatch(name) else None
            if node is not None and node.elf is not None and node.text:
                major, _, minor = node.text.partition(".")
                return int(major), int(minor)
    return 0, 0


def find_system(tree: Tree) -> dict[str, str]:
    """What /etc/os-release says."""
    node = tree.find("etc/os-release") or tree.find("usr/lib/os-release")
    lines = (node.text or "").splitlines() if node is not None else []
    pairs = (line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}
