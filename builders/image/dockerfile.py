"""Dockerfile: how an engine that builds from one puts the layers of an image together again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gantline.errors import Unsupported
from gantline.oci.image import Image

from .base import Base
from .settings import misleading

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]*")  # of a variable or a label, without quotes
_SECOND = 1_000_000_000


def dockerfile(name: str, image: Image, base: Base, added: Sequence[tuple[str, str]]) -> str:
    """The text. `added`: paths in the context and what they are, from the lowest; a base of a registry is not in it.

    Unsupported for a variable or a label that no Dockerfile can say.
    """
    settings = image.settings
    below = base.settings if base.pulled else {}
    lines = [*_head(name, image, base), f"FROM {base.pulled or 'scratch'}"]
    for path, title in added:
        lines += [f"# {' '.join(title.split())[:100]}", f"ADD {json.dumps([path, '/'])}"]
    lines += _pairs("ENV", _variables(settings) | _unset(below), _variables(below))
    lines += _pairs("LABEL", settings.get("Labels") or {}, below.get("Labels") or {})
    lines += ["EXPOSE " + " ".join(settings["ExposedPorts"])]
    lines += [f"WORKDIR {settings['WorkingDir']}", f"USER {settings['User']}", f"STOPSIGNAL {settings['StopSignal']}"]
    lines += [_healthcheck(settings["Healthcheck"])]
    lines += [f"{word.upper()} {json.dumps(settings[word])}" for word in ("Entrypoint", "Cmd")]
    return "\n".join(lines) + "\n"


def _head(name: str, image: Image, base: Base) -> Iterator[str]:
    """What somebody who finds this file in a repository wants to know."""
    build = f"build --platform {image.platform}"
    network = f"the base comes from its registry, by digest ({base.name})" if base.pulled else "no network is needed"
    yield f"# {name} for {image.platform}, made by `gantline build --target context`: build it anew, do not edit it."
    yield "#"
    yield f"#   docker {build} -t {name} ."
    yield f"#   podman {build} --format docker -t {name} ."
    yield f"#   buildah {build} --format docker -t {name} ."
    yield f"#   executor --context dir://$PWD --custom-platform {image.platform} --destination HOST/{name}   (kaniko)"
    yield "#"
    yield f"# Nothing is run, and {network}: each ADD unpacks one layer, with its owners, modes and times."
    yield "# HEALTHCHECK: podman and buildah ignore it, with a warning, without --format docker: OCI's format has no"
    yield "# word for it. --start-interval=500ms is left out: engines older than Docker 25 would refuse the whole file."
    yield "# In git: layers/ holds tars, some of them large. .gitattributes gives them to Git LFS (`git lfs install`,"
    yield "# once); without LFS they are committed as they are. What has not changed is the same file, byte for byte."
    if more := [word for word in ("Volumes", "OnBuild") if base.pulled and base.settings.get(word)]:
        yield f"# The base's {' and '.join(more)} cannot be taken away here; the image that Gantline builds has none."


def _variables(settings: Mapping[str, Any]) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in settings.get("Env") or [])


def _unset(below: Mapping[str, Any]) -> dict[str, str]:
    """What the image goes without of its base: none takes a variable away, and Python takes empty for unset."""
    return dict.fromkeys(misleading(below.get("Env") or []), "")


def _pairs(word: str, wanted: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """One instruction, a line for each name: engines that keep what they have built do so for each instruction."""
    said = []
    for name, value in wanted.items():
        if there.get(name) == value:
            continue
        if not _NAME.fullmatch(name) or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise Unsupported(
                f"{word} {name!r:.100}: its name or value cannot be said in a Dockerfile; use a base without it, "
                "or -o IMAGE.tar"
            )
        quoted = re.sub(r'([\\"$])', r"\\\1", value)
        said.append(f'{name}="{quoted}"')
    return [f"{word} " + " \\\n    ".join(said)] if said else []


def _healthcheck(check: Mapping[str, Any]) -> str:
    flags = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
    said = [f"--{flag}={check[key] // _SECOND}s" for flag, key in flags.items()]
    kind, *words = check["Test"]
    return " ".join(["HEALTHCHECK", *said, f"--retries={check['Retries']}", kind, json.dumps(words)])
