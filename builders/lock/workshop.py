"""Workshop: an image in a container engine, in which source archives of strangers are built.

Nothing of this machine is mounted: what a build needs goes in as a tar, and what it made comes out as one, so engines
on other machines do as well. There is no network in it, so neither passwords of indexes nor this machine's neighbours
are within reach of what runs; it is nobody's user, without capabilities.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from gantline.errors import BadArtefact, DeadlineExceeded, GantlineError, Unsupported
from gantline.file_lock import only_one
from gantline.home import home
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store

from ..engine.container import log_of, remove
from ..engine.engine import Engine
from ..image import places
from ..image.base import Base
from .recipe import Recipe

SECONDS = 3600.0  # a compiler may take long, and must end
MOST = 2 << 30  # bytes that may come out
LONGEST_LOG = 16 << 20  # bytes of it that are kept
LABEL = "dev.gantline.workshop"  # of its containers: what is built in it
OWNER = "dev.gantline.workshop.of"  # of its containers: whose they are, among all who use that engine
_WORK = "/build"
_CHILD = Path(__file__).with_name("workshop_child.py")
_OUT = re.compile(r"out/(build\.log|requires\.json|[\w.+!-]+\.whl)")
_EMPTY = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`wheel`, where one was made; `more`: what the backend asks for besides; `log`: what it printed."""

    wheel: Path | None
    more: tuple[str, ...]
    log: str


@dataclass(frozen=True, slots=True)
class Workshop:
    """`image` is the engine's ID of a base, `owner` whose its containers are."""

    engine: Engine
    image: str
    base: Base
    owner: str

    def run(
        self, archive: Path, recipe: Recipe, wheels: Sequence[Path], settled: bool, into: Path, seconds: float = SECONDS
    ) -> Outcome:  # fmt: skip
        """Build an archive with these wheels at hand. Unless `settled`, its backend is asked first what else it needs.

        What comes out is put into the folder `into`. Unsupported where the engine cannot run the base, BadArtefact,
        DeadlineExceeded.
        """
        container = self._created(archive.name)
        try:
            with tempfile.TemporaryFile() as packed:
                _pack(packed, archive, recipe, wheels, settled)
                with self.engine.spoken():
                    container.put_archive("/", packed)
            status = self._ended(container, seconds)
            with tempfile.TemporaryFile() as packed:
                self._bring(container, packed)
                found = dict(_unpack(packed, into))
            if "build.log" in found:
                log = _last_of(found["build.log"])
            else:
                log = log_of(self.engine, container)
                self._check_runs(log)
        finally:
            remove(self.engine, container)
        made = [path for name, path in sorted(found.items()) if name.endswith(".whl")]
        more = _more(found["requires.json"]) if "requires.json" in found else ()
        return Outcome(made[0] if made and status == 0 else None, more if status == 0 else (), log)

    def _created(self, called: str) -> Any:
        with self.engine.spoken():
            return self.engine.client.containers.create(
                self.image, [_WORK], entrypoint=[self.base.interpreter, "-I", "-B", f"{_WORK}/{_CHILD.name}"],
                user=f"{places.USER}:{places.USER}", working_dir="/", network_mode="none", cap_drop=["ALL"],
                security_opt=["no-new-privileges"], labels={LABEL: called, OWNER: self.owner},
            )  # fmt: skip

    def _ended(self, container: Any, seconds: float) -> int:
        """Start it and wait: its exit status."""
        import requests

        try:
            with self.engine.spoken():
                container.start()
        except GantlineError as e:
            self._check_runs(e.message)
            raise
        with self.engine.spoken():
            try:
                return int(container.wait(timeout=seconds)["StatusCode"])
            except requests.RequestException as e:
                if "timed out" not in str(e).lower():
                    raise
                raise DeadlineExceeded(f"not built within {seconds:.0f} s") from e

    def _check_runs(self, said: str) -> None:
        if re.search(r"exec format error", said, re.IGNORECASE):
            raise Unsupported(
                f"engine {self.engine.url} does not run {self.base.platform}: it needs an emulator there (qemu, as "
                "binfmt_misc starts it); or build on a machine of that platform, and pass the wheel with --find-links"
            )

    def _bring(self, container: Any, into: IO[bytes]) -> None:
        with self.engine.spoken():
            stream, _ = container.get_archive(f"{_WORK}/out")
            size = 0
            for piece in stream:
                size += len(piece)
                if size > MOST:
                    raise BadArtefact(f"more than {MOST} bytes came of it")
                into.write(piece)
        into.seek(0)


@contextmanager
def opened(engine: Engine, base: Base, store: Store) -> Iterator[Workshop]:
    """Bring a base into an engine for a block; one of this user's at a time, since the last one takes it away."""
    config = {
        **base.platform.to_json(),
        "created": _EMPTY,
        "config": {"Env": list(base.settings.get("Env") or [])},
        "rootfs": {"type": "layers", "diff_ids": list(base.diff_ids)},
        "history": [{"created": _EMPTY, "created_by": f"base {base.name}"} for _ in base.diff_ids],
    }
    image = write_manifest(store, config, base.layers, {})
    name = f"gantline-workshop:{image.id.removeprefix('sha256:')[:12]}"
    folder = home() / "built"
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / ".workshop.lock"):
        owner = _owner(folder / ".workshop.owner")
        with engine.spoken():
            left = engine.client.containers.list(all=True, filters={"label": f"{OWNER}={owner}"})
        for container in left:  # of a process that was killed: it would go on, and stay
            remove(engine, container)
        found, _ = engine.load(store, image, name)
        try:
            yield Workshop(engine, found, base, owner)
        finally:
            _forget(engine, image, name)


def _owner(path: Path) -> str:
    """A name for this user's home that no other machine's has: an engine may be everybody's."""
    with suppress(FileNotFoundError):
        if found := path.read_text("utf-8").strip():
            return found
    made = secrets.token_hex(8)
    path.write_text(made, "utf-8")
    return made


def _forget(engine: Engine, image: Image, name: str) -> None:
    import docker.errors

    # one that somebody uses all the same stays
    with suppress(docker.errors.ImageNotFound, GantlineError), engine.spoken():
        engine.client.images.remove(name)


def _pack(file: IO[bytes], archive: Path, recipe: Recipe, wheels: Sequence[Path], settled: bool) -> None:
    """The folder of work, as a tar that is the container's user's."""
    job = {**asdict(recipe), "file": archive.name, "settled": settled}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("", "/src", "/wheels", "/out"):
            info = _info(f"{_WORK.strip('/')}{name}", 0o700)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name, data in (("job.json", json.dumps(job).encode()), (_CHILD.name, _CHILD.read_bytes())):
            info = _info(f"{_WORK.strip('/')}/{name}", 0o600)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for folder, path in (("src", archive), *(("wheels", wheel) for wheel in wheels)):
            info = _info(f"{_WORK.strip('/')}/{folder}/{path.name}", 0o600)
            info.size = path.stat().st_size
            with path.open("rb") as source:
                tar.addfile(info, source)
    file.seek(0)


def _info(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.uid = info.gid = places.USER
    info.mode = mode
    return info


def _unpack(file: IO[bytes], into: Path) -> Iterator[tuple[str, Path]]:
    """Only plain files of the names that are expected: whoever wrote this is not trusted."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                match = _OUT.fullmatch(member.name.removeprefix("./"))
                source = tar.extractfile(member) if match and member.isfile() else None
                if match and source is not None:
                    with (into / match[1]).open("wb") as f:
                        shutil.copyfileobj(source, f)
                    yield match[1], into / match[1]
    except tarfile.TarError as e:
        raise BadArtefact(f"what came of it is no tar ({e})") from e


def _last_of(path: Path) -> str:
    """A log, or the end of one that goes on and on."""
    with path.open("rb") as f:
        f.seek(max(0, path.stat().st_size - LONGEST_LOG))
        return f.read().decode("utf-8", "replace")


def _more(path: Path) -> tuple[str, ...]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise BadArtefact(f"what the backend requires cannot be read ({e})") from e
    if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
        raise BadArtefact("what the backend requires is no list of requirements")
    return tuple(found)
