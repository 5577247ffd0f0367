"""The index that pip reaches here, for the pip and uv of images that an engine builds from Dockerfiles."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# what says where distributions come from, and which; the rest of pip's settings is about this machine
SOURCES = ("index-url", "extra-index-url", "no-index", "find-links", "constraint", "cert", "trusted-host", "proxy")
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"  # where Debian's programs look, uv's among them


def index_settings(folder: Path) -> list[str]:
    """podman's words that let pip and uv in a build reach what pip reaches here.

    Files of settings and certificates, indexes and wheels on this machine's disk, mounted while it builds: none of them
    comes into the image.
    """
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = settings_of(listed.stdout)
    (folder / "pip.conf").write_text(pip_settings(found))
    (folder / "uv.toml").write_text(uv_settings(found))
    mounts = {"/etc/pip.conf": folder / "pip.conf", "/etc/uv/uv.toml": folder / "uv.toml"}
    mounts |= {str(path): path.resolve() for path in places(found)}
    if "cert" in found:
        mounts[TRUSTED] = Path(found["cert"]).resolve()
    return [word for there, here in mounts.items() for word in ("--volume", f"{here}:{there}:ro")]


def settings_of(listed: str) -> dict[str, str]:
    """What `pip config list` says of sources; variables of the environment, which come last, win as in pip."""
    lines = re.findall(rf"^(\S*?)\.({'|'.join(SOURCES)})='(.*)'$", listed, re.MULTILINE)
    ranked = sorted(lines, key=lambda line: line[0] == ":env:")
    return {name: " ".join(value.replace("\\n", " ").split()) for _, name, value in ranked}


def pip_settings(found: Mapping[str, str]) -> str:
    """As pip.conf."""
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())


def uv_settings(found: Mapping[str, str]) -> str:
    """As uv.toml: all indexes count alike, as they do for pip."""
    lines = ["native-tls = true", 'index-strategy = "unsafe-best-match"']
    if found.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        lines += ["no-index = true"]
    if "find-links" in found:
        lines += [f"find-links = {_listed(found['find-links'].split())}"]
    wanted = [line for path in map(Path, found.get("constraint", "").split()) for line in _lines(path)]
    if wanted:
        lines += [f"constraint-dependencies = {_listed(wanted)}"]
    for url in found.get("extra-index-url", "").split():
        lines += ["[[index]]", f'url = "{url}"']
    if "index-url" in found:
        lines += ["[[index]]", f'url = "{found["index-url"]}"', "default = true"]
    return "\n".join(lines) + "\n"


def places(found: Mapping[str, str]) -> Iterator[Path]:
    """Files and folders of this machine that the settings name, and that are there."""
    for name, value in found.items():
        for word in value.split():
            path = Path(word.removeprefix("file://"))
            if not path.is_absolute() or not path.exists():
                continue
            # pages of an index refer to files beside it: ../../files/numpy-2.4.6-...whl
            yield path.parent if name.endswith("index-url") and path.parent != Path("/") else path


def _lines(path: Path) -> list[str]:
    """A file's requirements."""
    if not path.exists():
        return []
    return [line for text in path.read_text().splitlines() if (line := text.partition("#")[0].strip())]


def _listed(values: list[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
