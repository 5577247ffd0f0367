"""Refusals: what the resolver says when it has no answer, as one line that names the requirements in question."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from gantline.errors import BadArtefact, Denied, GantlineError, Unavailable, Unreachable

from .asked import Asked
from .sources import Sources, bare
from .target import Target

_MOST = 700  # characters of uv's explanation
_URL = re.compile(r"[a-z]+://[^\s`'\")]+")
_UNREADABLE = re.compile(r"Couldn't parse requirement in `(\d{4})\.in`[^\n]*\n {2}cause: ([^\n]+)")
_LISTED = re.compile(r"(\n {13}\S+(?=\n)){2,}")
_TO_BE_BUILT = re.compile(r"([\w.-]+)(\S*) ha(?:s|ve) no (?:usable wheels|wheels with a matching)")
_UNSATISFIABLE = re.compile(r",? ?we can conclude that your requirements are unsatisfiable\.?")


def explain(
    text: str, asked: Sequence[Asked], target: Target, sources: Sources,
    allowed: Callable[[str], bool] = lambda url: True,
) -> GantlineError:  # fmt: skip
    """The error for what uv printed. `allowed` is asked about pages of indexes, of which uv takes 401 for absent."""
    message, causes, hints = _parts(text)
    reason = _UNSATISFIABLE.sub("", causes).strip()
    if match := _UNREADABLE.search(text):
        line = asked[int(match[1])] if int(match[1]) < len(asked) else "a requirement"
        return BadArtefact(f"{line}: is not a requirement (as in numpy==2.1): {_short(match[2])}")
    lines = _lines_in(reason, asked) or _lines_in(message, asked)
    network = _network(message, causes, hints, lines)
    if network is not None:
        return network
    named = " and ".join(map(str, lines[:4])) or "the requirements"
    where = f"for {target}" + (" with --offline" if sources.offline else "")
    if match := re.search(
        r"[Bb]ecause (\S+) was not found in the (cache|package registry|provided package loc)", causes
    ):
        if match[2] == "cache" or sources.offline:
            return Unavailable(f"{named}: {match[1]} is not in {_offline(sources)}; lock once with the network, or "
                               "put its wheel into a --wheelhouse directory")  # fmt: skip
        for index in sources.indexes:
            if index.startswith("http") and not allowed(f"{index.rstrip('/')}/{match[1]}/"):
                return _denied(f"{named}: ", urlsplit(index).netloc)
        looked = ", ".join((*sources.indexes, *map(bare, sources.places)))
        return BadArtefact(f"{named}: no distribution is called {match[1]!r}; looked in {looked}")
    if match := re.search(r"([\w.-]+)(\S*) ha(s|ve) no usable wheels", causes):
        return BadArtefact(f"{named}: {match[1]}{match[2]} is there as source only; {_way_out(match[1])}")
    if "wheels with a matching" in causes:
        there = f" ({hints.rstrip('.')})" if hints else ""
        return BadArtefact(f"{named}: no wheel {where}: {_short(reason)}{there}; {_way_out('it')}")
    if "requires Python" in causes or "does not satisfy Python" in causes:
        return BadArtefact(f"{named}: not for Python {target.version}: {_short(reason)}; choose another --python")
    if len(lines) > 1:
        return BadArtefact(f"{named} do not go together {where}: {_short(reason)}")
    if re.search(r"cache|[Pp]ermission denied|[Nn]o space left", message) and "No solution" not in message:
        return Unavailable(
            f"uv: {_short(f'{message}; {reason}')}; UV_CACHE_DIR names another directory for what it keeps"
        )
    if not reason.startswith("Because"):
        return BadArtefact(f"{named}: {_short(f'{message}; {reason}')}")
    more = f" ({_short(hints)})" if "re-release" in hints else ""
    return BadArtefact(f"{named}: cannot be had {where}: {_short(reason)}{more}")


def to_be_built(text: str, asked: Sequence[Asked]) -> tuple[str, str, list[Asked]] | None:
    """What uv refuses that has no wheel for the target: its name, which versions (`==2.0`), and the lines spoken of."""
    _, causes, _ = _parts(text)
    match = _TO_BE_BUILT.search(causes)
    return (match[1], match[2].rstrip(","), _lines_in(causes, asked)) if match else None


def _way_out(what: str, buildable: bool = True) -> str:
    made = f"make a wheel of {what} (pip wheel --no-deps) and pass its directory with --find-links"
    if not buildable:
        return made
    return f"{made}, or pass --build-wheels: a container engine builds it, or a machine of that platform and Python"


def source_only(name: str, asked: Sequence[Asked]) -> GantlineError:
    """The error for what would have to be built."""
    named = " and ".join(map(str, asked[:4])) or name
    buildable = all(one.buildable or not one.is_source for one in asked)
    return BadArtefact(f"{named}: is source code, and images hold wheels; {_way_out(name or 'it', buildable)}")


def _offline(sources: Sources) -> str:
    return str(sources.wheelhouse) if sources.wheelhouse else "what was downloaded before (--offline)"


def _parts(text: str) -> tuple[str, str, str]:
    """uv's first line, its causes and its hints, each without line breaks."""
    message = re.search(r"^error: (.*?)(?=\n {2}cause:|\n\n|\Z)", text, re.S | re.M)
    causes = re.findall(r"^ {2}cause: (.*?)(?=\n {2}cause:|\n+hint:|\Z)", _LISTED.sub(_few, text), re.S | re.M)
    hints = re.findall(r"^hint: (.*?)(?=\n\n|\nhint:|\Z)", text, re.S | re.M)
    parts = [message[1] if message else text, "; ".join(causes), " ".join(hints)]
    first, why, hint = (_URL.sub(lambda m: bare(m[0]), " ".join(part.split())) for part in parts)
    return first, why, hint


def _few(listed: re.Match[str]) -> str:
    """A list of which each item has a line: three of many."""
    items = listed[0].split()
    return " " + ", ".join(items if len(items) < 5 else [*items[:2], "...", items[-1]])


def _lines_in(text: str, asked: Sequence[Asked]) -> list[Asked]:
    """The lines whose distribution is spoken of."""
    words = {word.lower().rstrip(".,;:") for word in re.split(r"[\s`'\"\[\]<>=!~,()]+", text)}
    return [one for one in asked if one.name in words]


def _network(message: str, causes: str, hints: str, lines: Sequence[Asked]) -> GantlineError | None:
    """Unreachable or Denied where no index answered as it should."""
    named = "".join(f"{one}: " for one in lines[:1])
    whole = f"{message} {causes} {hints}"
    url = _URL.search(whole)
    host = urlsplit(url[0].rstrip(".,;:")).netloc if url else "the index"
    if re.search(r"\b(401|403)\b.*(Unauthorized|Forbidden)|(Unauthorized|Forbidden).*\b(401|403)\b", whole):
        return _denied(named, host)
    failed = re.search(r"Failed to (fetch|download)|Request failed|error sending request|no answer within", whole)
    if failed is None:
        return None
    last = causes.rpartition("; ")[2] or message
    if "certificate" in last:
        return Unreachable(
            f"{named}{host}: {_short(last)}; PIP_CERT names the file of an authority to be trusted, PIP_TRUSTED_HOST a "
            "host that need not prove itself"
        )
    return Unreachable(f"{named}{host} does not answer as an index ({_short(last)}); --index-url names another, "
                       "--offline takes what is here")  # fmt: skip


def _denied(named: str, host: str) -> GantlineError:
    return Denied(
        f"{named}{host} wants a name and a password: https://NAME:PASSWORD@HOST/... as index (they are not kept in the "
        "lock), or an entry in ~/.netrc"
    )


def _short(text: str) -> str:
    text = re.sub(r"[.,]? And because", "; and because", text).removesuffix(".").removesuffix(",").strip()
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
