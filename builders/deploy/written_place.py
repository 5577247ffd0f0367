"""WrittenPlace: where files say what runs: compose and clusters; what changes them is the command that wrote them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from gantline.builders.engine.place import Change
from gantline.builders.engine.record import Record

from gantline.errors import Unsupported


class WrittenPlace:
    """What these have in common. `details`: `path` of what was written, and the `words` that wrote it."""

    def _applying(self, record: Record) -> str:
        """The command that makes it so."""
        raise NotImplementedError

    def _rotating(self, record: Record) -> str:
        """Where its keys are, and the command that makes new ones."""
        raise NotImplementedError

    def update(self, record: Record, change: Change) -> Record:
        """Unsupported says the whole command that wrote it, with what is to change."""
        words = list(record.details.get("words") or ())
        main = max(record.deployments, key=lambda one: one.traffic)
        first = ""
        if "--file" in words:
            words += ["--image", f"{main.name}={change.ref}"] if change.ref else []
            if change.variables:
                first = f"write the variables into {words[words.index('--file') + 1]}, then "
        else:
            words = again(words, change)
        path = str(record.details["path"])
        command = shlex.join(
            ["gantline", "deploy", change.ref or main.image, "--to", record.place, *words, "--overwrite", "-o", path]
        )
        raise Unsupported(
            f"endpoint {record.name}: {path} says what runs: {first}`{command}`, then `{self._applying(record)}`"
        )

    def keys(self, record: Record) -> Path:
        """Unsupported: they are not in this machine's hands, or in a file that is the user's own."""
        if not record.keys:
            raise Unsupported(f"endpoint {record.name}: asks nobody for keys; deploy it with --keys-secret")
        raise Unsupported(f"endpoint {record.name}: its keys are {self._rotating(record)}")

    def close(self) -> None:
        """Nothing is held open."""


def again(words: Iterable[str], change: Change, image: str = "") -> list[str]:
    """The words that describe an endpoint after a change; `image`: NAME=REF, where a file names others."""
    found: list[str] = []
    pairs = iter(words)
    for word in pairs:
        if word not in ("--env", "--image"):
            found.append(word)
            continue
        value = next(pairs, "")
        name = value.partition("=")[0]
        if name not in (change.variables if word == "--env" else (image.partition("=")[0],)):
            found += [word, value]
    for name, new in change.variables.items():
        found += ["--env", f"{name}={new}"] if new is not None else []
    return [*found, *(("--image", image) if image else ())]
