"""Named file: a file that a config.pbtxt, or the configuration of a load request, names in its model's directory."""

from __future__ import annotations

from pathlib import Path, PurePath

from gantline.errors import BadArtefact

LONGEST = 255  # bytes of one part of a path


def named_file(folder: Path, name: str, where: str) -> Path:
    """The path of `name` in the folder. BadArtefact, which begins with `where`, for a name that leads out of it.

    Names come over the wire, from clients that may load a model and read its answers, but not the server's disk.
    Links are followed: they lie in the directory, so whoever publishes models has made them.
    """
    said = PurePath(name)
    if "\0" in name or any(len(part.encode()) > LONGEST for part in said.parts):
        raise BadArtefact(f"{where} {name!r:.60} is no file's name")
    if said.anchor or ".." in said.parts:
        raise BadArtefact(f"{where} {name!r} is outside {folder}; expected a path inside it")
    return folder / said
