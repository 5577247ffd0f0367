"""Making: solving lines of which some are there as source only: what has no wheel is built, and the lines solved again.

The resolver itself builds nothing then, not even to learn what a distribution requires: it would do so on this machine.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, DeadlineExceeded, Denied, GantlineError, Unsupported
from gantline.oci.store import Store

from . import built
from .archives import newest
from .asked import Asked
from .building import CONTAINER, HERE, Building
from .download import Downloader, no_room
from .from_source import build_wheel, obtain
from .listing import file_of
from .recipe import Recipe
from .refusals import to_be_built
from .repository import Repository, fetched
from .solver import Offer, Refused, Solved, solve
from .sources import Sources, local_path
from .target import Target

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..image.base import Base
    from .workshop import Outcome, Workshop

MOST = 50  # distributions that are built for one lock
# lines, for which machine, from where -> the wheels of all that they need
Tools = Callable[[Sequence[Asked], Target, Sources], tuple[Path, ...]]


class Making:
    """For a block. `sources` are those of the answer: what was built is among their places.

    `base`: in what is built, unless an image is named for that; `tools` brings what builds need; `preferred` are
    versions by name, taken where they fit.
    """

    def __init__(
        self, target: Target, sources: Sources, base: Base | None, tools: Tools, tell: Callable[[str], None],
        preferred: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._building = sources.build or Building(HERE)
        contained = self._building.where != HERE
        self.sources = replace(sources, build=None) if contained else sources
        self._target = target
        self._base = None if self._building.image else base
        self._tools = tools
        self._tell = tell
        self._preferred = preferred
        self._downloader = Downloader(sources)
        self._tried: set[tuple[str, str]] = set()
        self._direct: dict[Asked, tuple[Asked, Path]] = {}  # lines that name an archive -> what its wheel is asked by
        self._engine: Engine | None = None
        self._workshop: Workshop | None = None
        self._open = ExitStack()

    def __enter__(self) -> Making:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def solve(self, asked: Sequence[Asked]) -> tuple[Solved, ...] | Refused:
        """As `solver.solve`. Errors besides: Unreachable without an engine that is asked for, BadArtefact for a build
        that fails.
        """
        lines = [self._for_wheel(one) for one in asked]
        found = solve(lines, self._target, self.sources, self._preferred, self._tell)
        while isinstance(found, Refused) and self._building.where != HERE:
            wanted = self._wanted(found, asked)
            if wanted is None:
                break
            who, name, version, source = wanted
            if self._contained(who):
                self._make(who, name, version, source, source.url)
                self._tried.add((name, version))
            found = solve(lines, self._target, self.sources, self._preferred, self._tell)
        return found if isinstance(found, Refused) else tuple(map(self._told, found))

    def _wanted(self, refused: Refused, asked: Sequence[Asked]) -> tuple[str, str, str, Offer] | None:
        """Who asks for what that has to be built, and its archive; None where that is not what is wrong."""
        told = to_be_built(refused.text, asked)
        if told is None or len(self._tried) >= MOST:
            return None
        name, versions, lines = told
        found = newest(name, versions, asked, self.sources, self._downloader, self._tried)
        who = " and ".join(map(str, lines[:3])) or f"'{name}'"
        return (who, name, *found) if found is not None else None

    def _for_wheel(self, one: Asked) -> Asked:
        """For a line that names a source by its address, one for the wheel of it; else the line itself."""
        from packaging.utils import parse_wheel_filename

        if not one.is_source or not one.applies(self._target):
            return one
        contained = self._building.where != HERE and self._contained(str(one))
        if not contained and not one.address.startswith("git+"):
            return one  # the resolver builds it
        if one not in self._direct:
            source, address = self._named(one)
            make = self._make if contained else self._make_here
            wheel = make(str(one), one.name, "", source, address)
            name, version, _, _ = parse_wheel_filename(wheel.name)
            extras = re.match(r"[\w.-]+\s*(\[[^\]]*\])?(?=\s*@ )", one.line)
            _, mark, marker = one.line.partition(" ;")
            line = f"{extras[0] if extras else name}=={version}{mark}{marker}"
            self._direct[one] = replace(one, line=line), wheel
        return self._direct[one][0]

    def _named(self, one: Asked) -> tuple[Offer, str]:
        """The source that a line names, and the address that is told of it."""
        if one.address.startswith("git+"):
            return fetched(Repository.parse(one.address, str(one)), str(one), self.sources, self._tell)
        url, _, fragment = one.address.partition("#")
        digest = next((part[7:] for part in fragment.split("&") if part.startswith("sha256=")), "")
        return Offer(file_of(url), url, f"sha256:{digest}" if digest else ""), url

    def _make_here(self, who: str, name: str, version: str, source: Offer, address: str) -> Path:
        wheel = build_wheel(who, source, self._target, self.sources, address)
        built.check(who, wheel, name, version, source, self._target, "here")
        self.sources = replace(self.sources, find_links=(*self.sources.find_links, str(wheel.parent)))
        return wheel

    def _told(self, solved: Solved) -> Solved:
        """With the lines as they were asked; where one names an archive, its wheel is the only one."""
        known = {line: (one, wheel) for one, (line, wheel) in self._direct.items()}
        for line, (_, wheel) in known.items():
            if line.name == solved.name:
                own = tuple(offer for offer in solved.wheels if local_path(offer.url) == str(wheel))
                solved = replace(solved, wheels=own)
        return replace(solved, by=tuple(known[line][0] if line in known else line for line in solved.by))

    def _contained(self, who: str) -> bool:
        """Whether it is built in a container. Where no engine answers and this machine will do, all is built here."""
        from ..engine.engine import find

        if self._engine is not None or self._building.where == CONTAINER:
            return True
        try:
            found = find(self._building.engine)
        except (ModuleNotFoundError, Denied) as e:  # docker's SDK, which speaks to engines; a socket of others
            if self._building.engine:
                raise e if isinstance(e, ModuleNotFoundError) else _for(who, e) from e
            found = None
        except GantlineError as e:
            raise _for(who, e) from e
        if found is None:
            self._building = Building(HERE)
            self.sources = replace(self.sources, build=self._building)
            return False
        self._keep(found)
        return True

    def _keep(self, engine: Engine) -> Engine:
        self._open.callback(engine.close)
        self._engine = engine
        return engine

    def _ground(self) -> Base:
        """The base that wheels are built in."""
        from ..image.base import open_base
        from ..image.order import default_base

        if self._base is None:
            where = self._building.image or default_base(self._target.python)
            self._base = open_base(where, self._target.platform, Store.of_user(), self._target.python)
        return self._base

    def _make(self, who: str, name: str, version: str, source: Offer, address: str) -> Path:
        """The wheel of an archive, which is among the places from then on. No `name`, no `version`: any.

        `address`: what the lock says of where it is from.
        """
        base = self._ground()
        if (local := local_path(source.url)) and Path(local).is_file():  # it may be another by now, of the same name
            source = replace(source, digest=sha256_file(Path(local)))
        at = built.folder(source, self._target, "in", *base.diff_ids)
        if (wheel := built.kept(at)) is None:
            self._tell(f"{who}: building {source.file} in a container of {base.name}")
            try:
                at.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(prefix=".work.", dir=at.parent) as work:
                    archive = Path(work, source.file)
                    source = obtain(source, archive, self.sources)
                    made = self._built(who, archive, base, Path(work))
                    built.check(who, made, name, version, source, self._target, f"in {base.name}")
                    _check_libc(who, made, base, self._target)
                    wheel = built.keep(at, made, replace(source, url=address))
            except OSError as e:
                raise no_room(at, e) from e
        self.sources = replace(self.sources, find_links=(*self.sources.find_links, str(at)))
        return wheel

    def _built(self, who: str, archive: Path, base: Base, work: Path) -> Path:
        """Twice, if the backend asks for more than its archive says."""
        try:
            recipe = Recipe.of(archive)
        except BadArtefact as e:
            raise BadArtefact(f"{who}: {e}") from e
        target = Target(base.platform, base.python, base.glibc)
        done: Outcome | None = None
        for settled in (False, True):
            lines = [Asked(line, f"to build {archive.name}") for line in recipe.requires]
            wheels = self._tools(lines, target, self.sources) if lines else ()
            shop = self._shop(who, base)
            out = Path(work, f"out{int(settled)}")
            out.mkdir()
            try:
                done = shop.run(archive, recipe, wheels, settled, out)
            except (BadArtefact, Unsupported, DeadlineExceeded) as e:
                raise type(e)(f"{who}: {archive.name}: {e}") from e
            if not done.more:
                break
            recipe = replace(recipe, requires=(*recipe.requires, *done.more))
        assert done is not None
        if done.wheel is None:
            advice = "" if self._building.image else "; --builder names an image with what it needs: a compiler, say"
            raise built.failed(who, archive.name, f"in {base.name}", done.log, advice)
        return done.wheel

    def _shop(self, who: str, base: Base) -> Workshop:
        from ..engine.engine import needed
        from .workshop import opened

        if self._workshop is None:
            try:
                engine = self._engine or self._keep(needed(self._building.engine))
                self._workshop = self._open.enter_context(opened(engine, base, Store.of_user()))
            except GantlineError as e:
                raise _for(who, e) from e
        return self._workshop


def _for(who: str, error: GantlineError) -> GantlineError:
    return type(error)(f"{who}: is there as source only, and --build-wheels makes its wheel in a container: {error}")


def _check_libc(who: str, wheel: Path, base: Base, target: Target) -> None:
    """BadArtefact for what was linked with a newer C library than the image has."""
    if base.glibc > target.glibc and not wheel.name.endswith("-any.whl"):
        have, other = (".".join(map(str, pair)) for pair in (target.glibc, base.glibc))
        raise BadArtefact(
            f"{who}: {wheel.name} was built in {base.name}, which has glibc {other}, and the image has {have}; "
            "take a --builder that has no newer one"
        )
