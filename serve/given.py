"""Given: a model whose files come in a load request, in base64, instead of lying where the server looks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from gantline.errors import BadRequest, Unavailable

from .scratch import OURS, make_scratch, remove_scratch

PREFIX = f"{OURS}load-"  # of the temporary directories' names


def write_model(name: str, config: str, files: Mapping[str, str]) -> Path:
    """Write the files to NAME/ in a new temporary directory, which is the caller's to remove (`remove_scratch`).

    BadRequest for a name or path that would leave it, for what is not base64, and without a configuration, which takes
    the place of the config.pbtxt. Unavailable when there is no room.
    """
    where = f"load of '{name}'"
    if not config:
        raise BadRequest(f"{where}: files need parameter 'config', the model's configuration as a string of JSON")
    if not _plain(name) or len(PurePosixPath(name).parts) != 1:
        raise BadRequest(f"{where}: a model whose files are given needs a name that a directory can have")
    contents = {}
    for path, text in files.items():
        if not _plain(path):
            raise BadRequest(f"{where}: file {path!r}: expected a path inside the model, such as 1/model.onnx")
        try:
            contents[path] = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as e:
            raise BadRequest(f"{where}: file {path!r} is not base64: {e}") from e
    folder = None
    try:
        folder = make_scratch(PREFIX)
        for path, data in contents.items():
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    except OSError as e:
        if folder is not None:
            remove_scratch(folder)
        # a path that is a file and a directory at once is the client's, a full disk is ours
        if isinstance(e, FileExistsError | NotADirectoryError | IsADirectoryError):
            raise BadRequest(f"{where}: file {path!r} cannot be where another file is") from e
        raise Unavailable(f"{where}: its files cannot be kept: {e.strerror}") from e
    return folder


def _plain(path: str) -> bool:
    """Whether a path stays inside the directory that it is put in, on any system."""
    pure = PurePosixPath(path)
    odd = pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path or not path.isprintable()
    return bool(pure.parts) and not odd
