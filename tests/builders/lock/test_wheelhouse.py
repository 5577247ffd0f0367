"""Wheels of a lock on this disk: from the cache, from directories, from the network, and never half."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gantline.builders.lock.pylock import Lock, Locked
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.target import Target
from gantline.builders.lock.wheelhouse import Wheelhouse, collect, fetch, in_steps

from gantline.blobs import sha256_file
from gantline.errors import NotFound, Unavailable, VerificationFailed
from gantline.oci.platforms import Platform

from .tiny import Index, serving_index, wheel

TARGET = Target(Platform.parse("linux/amd64"), (3, 11))
NOTHING = Sources(no_index=True)


@pytest.fixture
def made(tmp_path: Path) -> list[Path]:
    return [wheel(tmp_path / "w", name, filler=(1 << 18) * (i + 1)) for i, name in enumerate(("ash", "elm", "oak"))]


def locked(paths: list[Path], base: str = "") -> Lock:
    return Lock(
        TARGET,
        tuple(
            Locked(
                p.name.split("-")[0],
                "1.0",
                p.name,
                sha256_file(p),
                p.stat().st_size,
                f"{base}/files/{p.name}" if base else "",
            )
            for p in paths
        ),
    )


def test_downloaded_once(made: list[Path], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with serving_index(Index(made[0].parent, cut=200_000)) as index:
        lock = locked(made, f"http://127.0.0.1:{index.port}")
        found = fetch(lock, tmp_path / "c", sources=NOTHING, progress=lambda done, total: told.append((done, total)))
        asked = len(index.asked)
        again = fetch(lock, tmp_path / "c", offline=True, sources=NOTHING)
        assert len(index.asked) == asked
    total = sum(p.stat().st_size for p in made)
    assert [w.path.read_bytes() for w in found] == [p.read_bytes() for p in made]
    assert again == found and [w.distribution for w in found] == ["ash", "elm", "oak"]
    assert told[-1] == (total, total) and sorted(told) == told
    left = sorted(p.name for p in (tmp_path / "c").rglob("*") if p.is_file())
    assert left == sorted(p.name for p in made), "nothing else is left"


def test_taken_from_directories(made: list[Path], tmp_path: Path) -> None:
    lock = locked(made, "http://127.0.0.1:9")
    sources = Sources(no_index=True, find_links=(made[0].parent.as_uri(),))
    assert len(fetch(lock, tmp_path / "c", offline=True, sources=sources)) == 3
    made[0].write_bytes(made[0].read_bytes()[::-1])  # same name and size, and something else
    with pytest.raises(Unavailable, match=r"1 of 3 wheels are not here \(ash-1\.0-py3-none-any\.whl\), and --offline"):
        fetch(lock, tmp_path / "d", offline=True, sources=sources)


def test_known_by_name_and_digest_alone(made: list[Path], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"was locked from a directory; pass it with --find-links"):
        fetch(locked(made), tmp_path / "c", sources=NOTHING)
    assert len(fetch(locked(made), tmp_path / "c", sources=Sources(find_links=(str(made[0].parent),)))) == 3
    with serving_index(Index(made[0].parent)) as index:  # found there by name and digest
        assert len(fetch(locked(made), tmp_path / "d", sources=Sources(index.url))) == 3


def test_what_is_not_what_was_locked(made: list[Path], tmp_path: Path) -> None:
    with serving_index(Index(made[0].parent)) as index:
        lock = locked(made, f"http://127.0.0.1:{index.port}")
        index.lies = made[0].read_bytes()[::-1]
        with pytest.raises(VerificationFailed, match=r"ash-1\.0.*: has sha256:\w+, the lock says sha256:\w+; nothing"):
            fetch(Lock(TARGET, lock.packages[:1]), tmp_path / "c", sources=NOTHING)
        assert not [p for p in (tmp_path / "c").rglob("*") if p.is_file() and p.name != "lock"]
        index.lies = None
        assert len(fetch(lock, tmp_path / "c", sources=NOTHING)) == 3


def test_what_an_earlier_run_left_of_something_else(made: list[Path], tmp_path: Path) -> None:
    with serving_index(Index(made[0].parent)) as index:
        lock = locked(made[:1], f"http://127.0.0.1:{index.port}")
        part = tmp_path / "c" / lock.packages[0].digest.removeprefix("sha256:") / "part"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"of another file")
        told: list[int] = []
        fetch(lock, tmp_path / "c", sources=NOTHING, progress=lambda done, total: told.append(done))
        assert not part.exists() and told[-1] == made[0].stat().st_size


def test_a_file_that_has_moved(made: list[Path], tmp_path: Path) -> None:
    """Its URL is no longer good; an index that is configured has it."""
    with serving_index(Index(made[0].parent)) as index:
        lock = locked(made, f"http://127.0.0.1:{index.port}/simple/gone/and")
        assert len(fetch(lock, tmp_path / "c", sources=Sources(index.url))) == 3


def test_one_that_fails_stops_the_others_and_is_the_one_told_of(made: list[Path], tmp_path: Path) -> None:
    with serving_index(Index(made[0].parent)) as index:
        lock = locked(made, f"http://127.0.0.1:{index.port}")
        gone = Locked("yew", "1.0", "yew-1.0-py3-none-any.whl", "sha256:" + "0" * 64, 5, f"{index.url}/yew/")
        with pytest.raises(NotFound, match="simple/yew/: is no longer there"):
            fetch(Lock(TARGET, (*lock.packages, gone)), tmp_path / "c", sources=NOTHING)


def test_two_processes_at_once(made: list[Path], tmp_path: Path) -> None:
    """Both get all; each file is sent once."""
    import threading

    with serving_index(Index(made[0].parent)) as index:
        lock = locked(made, f"http://127.0.0.1:{index.port}")
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(len(fetch(lock, tmp_path / "c", sources=NOTHING))))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert found == [3, 3]
        assert index.sent == {p.name: p.stat().st_size for p in made}


def test_wheels_that_an_index_says_nothing_of(made: list[Path], tmp_path: Path) -> None:
    kept = Wheelhouse(tmp_path / "c", NOTHING)
    with serving_index(Index(made[0].parent)) as index:
        found = kept.adopt_url(f"http://127.0.0.1:{index.port}/files/{made[1].name}", made[1].name)
    assert found == (sha256_file(made[1]), made[1].stat().st_size)
    assert kept.place(made[1].name, found[0]).read_bytes() == made[1].read_bytes()
    assert kept.adopt(made[1]) == found


def test_nowhere_to_write(made: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Wheelhouse(tmp_path / "file" / "wheels", NOTHING)
    with pytest.raises(Unavailable, match=r"cannot be written \(not a directory\); set GANTLINE_HOME"):
        kept.adopt(made[0])
    with pytest.raises(Unavailable, match="cannot be written"):
        kept.adopt_url("http://127.0.0.1:9/x.whl", "x.whl")


def test_progress_in_lines() -> None:
    times = [0.0, 1.0, 2.0, 2.0, 3.5, 4.0, 4.0, 9.0, 9.0]  # asked once more after each line
    said: list[str] = []
    tell = in_steps(said.append, iter(times).__next__)
    for done in range(1, 6):
        tell(done << 20, 5 << 20)
    assert said == ["wheels: 2 of 5 MiB", "wheels: 4 of 5 MiB", "wheels: 5 of 5 MiB"]


def test_a_directory_to_be_carried(made: list[Path], tmp_path: Path) -> None:
    lock = locked(made)
    wheels = fetch(lock, tmp_path / "c", sources=Sources(find_links=(str(made[0].parent),)))
    again = fetch(lock, tmp_path / "c", sources=Sources(wheelhouse=tmp_path / "flat"))
    assert again == wheels and len(list((tmp_path / "flat").iterdir())) == 3
    assert collect(lock, wheels, tmp_path / "flat") == 0
    (tmp_path / "flat" / made[0].name).write_bytes(b"damaged")
    assert collect(lock, wheels, tmp_path / "flat") == 1
    assert sorted(p.name for p in (tmp_path / "flat").iterdir()) == [p.name for p in made]


def test_several_that_gather_in_one_directory(made: list[Path], tmp_path: Path) -> None:
    """Each has names of its own for what is not whole yet; what a killed one left goes when it is old."""
    lock, flat = locked(made), tmp_path / "flat"
    wheels = fetch(lock, tmp_path / "cache", sources=Sources(no_index=True, find_links=(str(tmp_path / "w"),)))
    flat.mkdir()
    old, young = (flat / f".{made[0].name}.{word}.part" for word in ("old", "young"))
    for path in (old, young):
        path.touch()
    os.utime(old, (1, 1))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: collect(lock, wheels, flat), range(12)))
    assert sum(found) >= len(made)
    assert {p.name for p in flat.iterdir()} == {young.name, *(p.name for p in made)}
    assert all(sha256_file(flat / p.name) == sha256_file(p) for p in made)
    assert {(flat / p.name).stat().st_mode & 0o777 for p in made} == {made[0].stat().st_mode & 0o777}
