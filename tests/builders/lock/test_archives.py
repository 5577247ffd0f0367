"""Which source archive is built, of those that directories and indexes have."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.lock.archives import newest
from gantline.builders.lock.asked import Asked
from gantline.builders.lock.download import Downloader
from gantline.builders.lock.sources import Sources

from gantline.blobs import sha256_file

from .sdist import sdist
from .tiny import Index, serving_index, wheel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("archives")
    for version in ("1.0", "1.5", "2.0", "3.0rc1"):
        sdist(made, "forest", version)
    sdist(made, "other", "9.0")
    wheel(made, "forest", "4.0")
    return made


@pytest.mark.parametrize(
    ("versions", "line", "found"),
    [
        ("", "forest", "2.0"),
        ("<2", "forest", "1.5"),
        ("", "Forest[x]>=1,<1.5; python_version>'3'", "1.0"),
        ("==3.0rc1", "forest", "3.0rc1"),
        ("and words", "other<1", "2.0"),
        (">=4", "forest", ""),
    ],
)
def test_the_newest_that_all_take(folder: Path, versions: str, line: str, found: str) -> None:
    sources = Sources(no_index=True, find_links=(str(folder),))
    got = newest("forest", versions, [Asked(line, "x")], sources, Downloader(sources))
    assert (got[0] if got else "") == found
    if got:
        assert got[1].file == f"forest-{found}.tar.gz" and got[1].url == (folder / got[1].file).as_uri()


def test_of_an_index(folder: Path) -> None:
    with serving_index(Index(folder)) as index:
        sources = Sources(index.url)
        asked = [Asked("forest", "x")]

        def found(*but: str, lines: list[Asked] = asked) -> str:
            got = newest("forest", "", lines, sources, Downloader(sources), {("forest", one) for one in but})
            assert not got or got[1].digest == sha256_file(folder / got[1].file)
            return got[0] if got else ""

        assert found() == "2.0" and found("2.0") == "1.5" and found("1.0", "1.5", "2.0") == "3.0rc1"
        one = Asked("forest", "x", hashes=(sha256_file(folder / "forest-1.0.tar.gz"),))
        assert found(lines=[one]) == "1.0"
