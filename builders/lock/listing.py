"""Listing: an index's page of one distribution (PEP 503, 691), searched for a file that is known by its digest."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from gantline.errors import GantlineError

from .download import Downloader
from .sources import Sources, bare, local_path

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LINK = re.compile(r"<a\s[^>]*?href\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)


def find(name: str, file: str, digest: str, sources: Sources, downloader: Downloader) -> str:
    """The URL of a file, without a password, at the first index that has it with that digest; empty where none has."""
    for index in () if sources.no_index else sources.indexes:
        if not index.startswith(("http:", "https:")):
            continue
        page = f"{index.rstrip('/')}/{name}/"
        try:
            body = downloader.read(page, _ACCEPT)
            found = [url for url, has in links(body, page) if has == digest and file_of(url) == file]
        except (GantlineError, ValueError, KeyError, TypeError):
            continue  # it may be at another one
        if found:
            return bare(found[0])
    return ""


def offered(name: str, sources: Sources, downloader: Downloader) -> Iterator[tuple[str, str]]:
    """URL (without a password) and digest, if it is told, of each file that places and indexes have of a distribution.

    Directories name all that is in them. What cannot be read is passed over: it may be at another place.
    """
    pages = [place for place in sources.places if not local_path(place)]
    for folder in (Path(path) for path in map(local_path, sources.places) if path):
        if folder.is_dir():
            yield from ((path.as_uri(), "") for path in sorted(folder.absolute().iterdir()) if path.is_file())
    pages += [] if sources.no_index else [f"{index.rstrip('/')}/{name}/" for index in sources.indexes]
    for page in () if sources.offline else pages:
        if not page.startswith(("http:", "https:")):
            continue
        try:
            found = list(links(downloader.read(page, _ACCEPT), page))
        except (GantlineError, ValueError, KeyError, TypeError):
            continue
        yield from ((bare(url).partition("#")[0], digest) for url, digest in found)


def links(body: bytes, page: str) -> Iterator[tuple[str, str]]:
    """Each file's URL and what the page says of its sha256, as `sha256:<hex>`; ValueError for what is no page."""
    text = body.decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        for one in json.loads(text)["files"]:
            digest = one.get("hashes", {}).get("sha256", "")
            yield urljoin(page, one["url"]), f"sha256:{digest}" if digest else ""
        return
    for link in _LINK.findall(text):
        url, _, fragment = urljoin(page, html.unescape(link)).partition("#")
        yield url, fragment.replace("sha256=", "sha256:") if fragment.startswith("sha256=") else ""


def file_of(url: str) -> str:
    """The name of the file that a URL leads to."""
    return unquote(urlsplit(url).path).rpartition("/")[2]
