"""`gantline keys`: make and rotate the API keys of a keys file."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..exits import OK
from ..setting import nearest, settings_of
from ..settings import ServeSettings
from .show import print_json, table, write

if TYPE_CHECKING:
    from gantline.serve.keys import Key, KeySet

_VARIABLE = settings_of(ServeSettings)["keys"].variable


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline keys`."""
    add = parser.add_argument
    add(
        "action", choices=("new", "rotate", "list", "signing"), metavar="ACTION",
        help="new: add a key; rotate: give one a new secret, the old one stays valid as its secondary until the next "
        "rotation; list: show what is in the file; signing: make a key pair for `gantline sign`",
    )  # fmt: skip
    add("--name", help="the key's name: whose it is")
    add(
        "--role",
        choices=("score", "admin"),
        help="score: ask models; admin: also load, unload, set (default: score)",
    )
    add("--model", action="append", metavar="MODEL", help="a model that the key is for; repeatable (default: all)")
    add("--tenant", default="", help="whose share of a busy server its requests take (default: the request says)")
    add(
        "--keys",
        metavar="FILE",
        help=f"the keys file, made if need be (default: {_VARIABLE}, or print the entry)",
    )
    add("--revoke", action="store_true", help="rotate: take the old secrets out at once")
    add(
        "-o",
        dest="output",
        type=Path,
        metavar="FILE.pem",
        help="signing: the private key; the public one: FILE.pub.pem",
    )
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """A secret is shown once and never kept: the file holds its SHA-256."""
    if args.action == "signing":
        return _signing(args)
    named = args.keys or os.environ.get(_VARIABLE)
    path = Path(named) if named else None
    if args.action == "list":
        _list(_existing(path, "list"), args.json)
    elif not args.name:
        raise UsageError(f"{args.action} needs --name")
    elif args.action == "new":
        _new(args, path)
    else:
        _rotate(args, _existing(path, "rotate"))
    return OK


def _signing(args: argparse.Namespace) -> int:
    """A pair of Ed25519 keys; neither file may be there already."""
    from gantline.builders.evidence.envelope import new_key

    if args.output is None:
        raise UsageError("signing needs -o FILE.pem")
    public = args.output.with_name(f"{args.output.name.removesuffix('.pem')}.pub.pem")
    if there := next((path for path in (args.output, public) if path.exists()), None):
        raise UsageError(f"{there} exists; choose another -o")
    private_pem, public_pem, name = new_key()
    for path, pem, mode in ((args.output, private_pem, 0o600), (public, public_pem, 0o644)):
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(pem)
        except OSError as e:
            raise UsageError(f"{path}: cannot be written: {e.strerror}") from e
    if args.json:
        print_json({"key": name, "private": str(args.output), "public": str(public)})
    else:
        table([("private", f"{args.output}, for you alone"), ("public", str(public)), ("key", name)])
    return OK


def _existing(path: Path | None, action: str) -> Path:
    if path is None:
        raise UsageError(f"{action} needs --keys FILE, or {_VARIABLE}")
    if not path.is_file():
        raise UsageError(f"--keys {path}: no such file; `gantline keys new` makes it")
    return path


def _new(args: argparse.Namespace, path: Path | None) -> None:
    from gantline.serve.keys import NAME, NAMES, hashed, new_secret, parse

    if args.revoke:
        raise UsageError("new: --revoke is for rotate")
    if not NAME.fullmatch(args.name):
        raise UsageError(f"--name {args.name!r}: {NAMES}")
    secret = new_secret()
    entry = _entry(args.name, args.role or "score", hashed(secret), args.model, args.tenant)
    parse(entry, "--model or --tenant")
    if path is not None:
        text = _text(path) if path.exists() else ""
        if text and args.name in parse(text, str(path)).names:
            raise UsageError(f"--keys {path}: has a key {args.name!r}; rotate it, or choose another --name")
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        _put(path, text + gap + entry)
    _show(secret, args.name, path, entry, args.json)


def _rotate(args: argparse.Namespace, path: Path) -> None:
    from gantline.serve.keys import hashed, new_secret, parse

    if args.role or args.model or args.tenant:
        raise UsageError("rotate changes secrets only; edit the file for the rest")
    text = _text(path)
    before = parse(text, str(path))
    if args.name not in before.names:
        raise UsageError(f"--keys {path}: no key {args.name!r}; {nearest(args.name, before.names)}")
    secret = new_secret()
    after = rotated(text, args.name, hashed(secret), args.revoke)
    if after is None or not _only_rotated(before, after, args.name, secret, args.revoke):
        raise UsageError(f"--keys {path}: [key.{args.name}] is not written as this command writes it; edit it by hand")
    _put(path, after)
    _show(secret, args.name, path, "", args.json)


def rotated(text: str, name: str, new: str, revoke: bool) -> str | None:
    """A file's text with a new primary secret for one key, everything else as it was; None where it is not found."""
    lines = text.splitlines(keepends=True)
    header = re.compile(rf"\s*\[\s*key\s*\.\s*{re.escape(name)}\s*\]\s*(#.*)?\n?")
    begin = next((i for i, line in enumerate(lines) if header.fullmatch(line)), None)
    if begin is None:
        return None
    end = next((i for i in range(begin + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    own = lines[begin + 1 : end]
    primary = [line for line in own if re.match(r"\s*primary\s*=", line)]
    if len(primary) != 1:
        return None
    own = [line for line in own if not re.match(r"\s*secondary\s*=", line)]
    at = own.index(primary[0])
    fresh = [f'primary = "{new}"\n']
    if not revoke:
        fresh.append(re.sub(r"^\s*primary", "secondary", primary[0]).rstrip("\n") + "\n")
    return "".join([*lines[: begin + 1], *own[:at], *fresh, *own[at + 1 :], *lines[end:]])


def _only_rotated(before: KeySet, text: str, name: str, secret: str, revoke: bool) -> bool:
    """Whether the text that was edited says what was meant."""
    from gantline.serve.keys import parse

    try:
        after = parse(text, "")
    except UsageError:
        return False
    old, new = before[name], after[name]
    kept = () if revoke else old.digests[:1]
    same = [n for n in before.names if n != name and after[n] == before[n]]
    about = (old.role, old.models, old.tenant) == (new.role, new.models, new.tenant)
    return (
        about and len(same) == len(before) - 1 == len(after) - 1
        and new.digests[1:] == kept and after.find(secret.encode()) is new
    )  # fmt: skip


def _entry(name: str, role: str, digest: str, models: list[str] | None, tenant: str) -> str:
    # JSON's strings are TOML's, too
    lines = [f"[key.{name}]", f'role = "{role}"', f'primary = "{digest}"']
    if models:
        lines.append(f"models = [{', '.join(json.dumps(m, ensure_ascii=False) for m in models)}]")
    if tenant:
        lines.append(f"tenant = {json.dumps(tenant, ensure_ascii=False)}")
    return "\n".join([*lines, ""])


def _show(secret: str, name: str, path: Path | None, entry: str, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "key": secret, "entry": entry, "file": str(path) if path else None})
        return
    where = f"{path} knows it as {name}" if path else "put this into the server's keys file"
    sys.stderr.write(f"This is the key. It is shown once; {where}.\n")
    write(secret + "\n")
    if path is None:
        write("\n" + entry)


def _list(path: Path, as_json: bool) -> None:
    from gantline.serve.keys import parse

    keys = parse(_text(path), str(path))
    found = [keys[name] for name in keys.names]
    if as_json:
        print_json([_row(key) for key in found])
    else:
        table((key.name, _line(key)) for key in found)


def _row(key: Key) -> dict[str, object]:
    return {
        "name": key.name,
        "role": key.role.name.lower(),
        "secrets": len(key.digests),
        "models": sorted(key.models) if key.models is not None else None,
        "tenant": key.tenant.decode(),
    }


def _line(key: Key) -> str:
    words = [key.role.name.lower(), f"{len(key.digests)} secret{'s' * (len(key.digests) > 1)}"]
    if key.models is not None:
        words.append("models " + ", ".join(sorted(key.models)))
    if key.tenant:
        words.append(f"tenant {key.tenant.decode()}")
    return "; ".join(words)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as e:
        raise UsageError(f"--keys {path}: cannot be read: {e.strerror}") from e
    except UnicodeDecodeError:
        raise UsageError(f"--keys {path}: not UTF-8") from None


def _put(path: Path, text: str) -> None:
    """Replace the file whole: a server may be reading it. Its mode stays; a new one is for its owner only."""
    target = path.resolve()  # of a link, the file
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                was = target.stat()
                os.chmod(name, was.st_mode & 0o777)
                with contextlib.suppress(OSError, AttributeError):  # only root may; Windows has none
                    os.chown(name, was.st_uid, was.st_gid)
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as e:
        raise UsageError(f"--keys {path}: cannot be written: {e.strerror}") from e
