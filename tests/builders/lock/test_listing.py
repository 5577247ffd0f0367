"""Pages of indexes, in both forms, and a file found by its digest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.lock.download import Downloader
from gantline.builders.lock.listing import find, links, offered
from gantline.builders.lock.sources import Sources

from gantline.blobs import sha256_file

from .tiny import Index, serving_index, wheel


def test_both_forms_of_a_page() -> None:
    page = "https://h.invalid/simple/oak/"
    text = '<a data-x="1" href="../../f/oak%2B1.whl#sha256=ab&amp;x">a</a><A HREF=\'https://o.invalid/b.whl\'>b</a>'
    assert list(links(text.encode(), page)) == [
        ("https://h.invalid/f/oak%2B1.whl", "sha256:ab&x"),
        ("https://o.invalid/b.whl", ""),
    ]
    tree = {"files": [{"url": "/f/a.whl", "hashes": {"sha256": "cd"}}, {"url": "b.whl"}]}
    assert list(links(json.dumps(tree).encode(), page)) == [
        ("https://h.invalid/f/a.whl", "sha256:cd"),
        ("https://h.invalid/simple/oak/b.whl", ""),
    ]
    with pytest.raises(ValueError):
        list(links(b'{"files": ', page))


def test_a_file_at_the_first_index_that_has_it(tmp_path: Path) -> None:
    made = wheel(tmp_path / "w", "oak", "1.0+cpu")
    other = wheel(tmp_path / "other", "oak", "1.0+cpu", filler=64)
    empty = tmp_path / "empty"
    empty.mkdir()
    with (
        serving_index(Index(empty)) as first,
        serving_index(Index(other.parent)) as second,
        serving_index(Index(made.parent, login="u:p")) as third,
    ):
        sources = Sources(third.with_login, ("http://127.0.0.1:9/simple", first.url, second.url, "file:///nowhere"))
        found = find("oak", made.name, sha256_file(made), sources, Downloader(sources))
        assert found == f"http://127.0.0.1:{third.port}/files/{made.name}"
        assert find("oak", made.name, "sha256:00", sources, Downloader(sources)) == ""
        assert find("elm", made.name, sha256_file(made), sources, Downloader(sources)) == ""
        asked = len(third.asked)
        none = Sources(third.with_login, no_index=True)
        assert find("oak", made.name, sha256_file(made), none, Downloader(none)) == "" and len(third.asked) == asked


def test_all_that_is_offered(tmp_path: Path) -> None:
    """Of directories all files, of indexes those of the distribution; what does not answer is passed over."""
    here = wheel(tmp_path / "here", "elm")
    made = wheel(tmp_path / "w", "oak")
    with serving_index(Index(made.parent, login="u:p")) as index:
        sources = Sources(index.with_login, ("http://127.0.0.1:9/simple",), (str(here.parent), "/nowhere"))
        url = f"http://127.0.0.1:{index.port}/files/{made.name}"
        both = [(here.as_uri(), ""), (url, sha256_file(made))]
        assert list(offered("oak", sources, Downloader(sources))) == both
        asked = len(index.asked)
        for other in (replace(sources, no_index=True), replace(sources, offline=True)):
            assert list(offered("oak", other, Downloader(other))) == both[:1]
        assert len(index.asked) == asked
