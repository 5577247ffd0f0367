"""The keys of an endpoint, made, taken from a file and rotated: primary and secondary, as Azure has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageError
from .setting import nearest

if TYPE_CHECKING:
    from gantline.builders.engine.key_folder import KeyFolder

OWN = "own"  # those that are made with the endpoint
_NAME = "endpoint"


def maker(keys: bool | str | os.PathLike[str]) -> Callable[[KeyFolder], str] | None:
    """What fills an endpoint's folder when it starts: nothing, keys of its own (True), or a file's; and says which."""
    if keys is False or keys == "":
        return None

    def fill(folder: KeyFolder) -> str:
        if keys is True:
            made(folder)
            return OWN
        file = Path(os.path.abspath(keys))
        taken(folder, file)
        return str(file)

    return fill


def made(folder: KeyFolder) -> None:
    """Two secrets of one key with the role `score`."""
    from gantline.builders.engine.key_folder import KINDS
    from gantline.serve.keys import new_secret

    _write(folder, {kind: new_secret() for kind in KINDS})


def rotated(folder: KeyFolder, kind: str) -> str:
    """A new secret in the place of one; clients that use the other notice nothing."""
    from gantline.serve.keys import new_secret

    secret = new_secret()
    _write(folder, {kind: secret})
    return secret


def taken(folder: KeyFolder, file: Path) -> None:
    """Those of somebody's keys file, by their digests. UsageError says what is wrong with it, and quotes no secret."""
    from gantline.serve.keys import MAX_BYTES, parse, written

    try:
        with file.open("rb") as f:
            text = f.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UsageError(f"--keys {file}: larger than {MAX_BYTES} bytes")
        folder.put(written(parse(text.decode(), f"--keys {file}")))
    except OSError as e:
        raise UsageError(f"--keys {file}: cannot be read: {e.strerror}; `gantline keys new` makes one") from e
    except UnicodeDecodeError:
        raise UsageError(f"--keys {file}: not UTF-8") from None


def anew(text: str, kind: str, name: str, where: str) -> tuple[str, str]:
    """A keys file's next text, with a new secret in the place of one of a key's two; and that secret.

    The other stays. Where there is one alone, that stays valid beside the new one. UsageError where several keys are
    there and none is named.
    """
    from gantline.serve.keys import KeySet, hashed, new_secret, parse, written

    keys = parse(text, where)
    if not name and len(keys) > 1:
        raise UsageError(f"{where}: has keys of {', '.join(keys.names)}; --key says which")
    name = name or keys.names[0]
    if name not in keys.names:
        raise UsageError(f"{where}: no key {name!r:.100}; {nearest(name, keys.names)}")
    secret = new_secret()
    new, old = bytes.fromhex(hashed(secret).partition(":")[2]), keys[name].digests
    both = (new, old[-1]) if kind == "primary" else (old[0], new)
    after = {one: keys[one] for one in keys.names}
    after[name] = replace(keys[name], digests=both)
    return written(KeySet(after)), secret


def _write(folder: KeyFolder, new: dict[str, str]) -> None:
    """New secrets; those of other kinds stay."""
    from gantline.builders.engine.key_folder import KINDS
    from gantline.serve.keys import hashed

    digests = [f'{kind} = "{hashed(new.get(kind) or folder.secret(kind))}"' for kind in KINDS]
    folder.put("\n".join([f"[key.{_NAME}]", 'role = "score"', *digests, ""]), new)
