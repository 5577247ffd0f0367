"""`gantline infer`: one request to a server, from a file of rows."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import BadArtefact
from ..exits import OK
from . import remote, rows
from .show import write

if TYPE_CHECKING:
    from ..client import Client, Result
    from ..tensors import Array

_SHOWN_ROWS = 20
_SHOWN_VALUES = 8
_TYPES = {".json": "application/json", ".csv": "text/csv", ".tsv": "text/tab-separated-values"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline infer`."""
    parser.add_argument("model", metavar="MODEL", help="the model's name")
    sending(parser)
    remote.arguments(parser)


def sending(parser: argparse.ArgumentParser) -> None:
    """What to send, and how to show the answer."""
    add = parser.add_argument
    add("--input", required=True, type=Path, metavar="FILE", help=f"rows: {rows.FORMATS}; a script gets it as it is")
    add("--version", default="", metavar="V", help="the model's version (default: the newest)")
    add("--output", action="append", metavar="NAME", help="ask for this output only; repeatable")
    add("--classes", type=int, default=0, metavar="K", help="the K likeliest classes in place of their scores")
    add("--json", action="store_true", help="print one JSON object")
    wire = parser.add_mutually_exclusive_group()
    wire.add_argument("--binary", action="store_true", default=True, help="tensors as bytes on the wire (default)")
    wire.add_argument("--text-json", dest="binary", action="store_false", help="tensors as JSON on the wire")
    rows.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Send it and print the answer: a table for people, --json for programs."""
    # numpy and a client: `gantline endpoint` has the flags of this file, and most of its verbs need neither
    from .. import samples
    from ..client import Client

    if not args.input.is_file():  # whatever the server would say
        raise BadArtefact(f"--input {args.input}: no such file")
    with Client(args.url, timeout_s=args.timeout, binary=args.binary, key=remote.key_of(args.key_file)) as client:
        if _is_script(client.metadata(args.model, args.version)):
            _print_score(_score(client, args), args.json)
            return OK
        signature, columns = client.signature(args.model, args.version), client.columns(args.model, args.version)
        sample = samples.by_name(rows.read(args.input, args), columns, str(args.input))
        inputs = samples.fit(sample, signature, str(args.input))
        result = client.infer(args.model, inputs, args.output, args.version, classes=args.classes)
    if args.json:
        from ..wire.v2 import dump_json

        write(dump_json(_document(result)).decode() + "\n")
    else:
        _print_table(result)
    return OK


def _is_script(metadata: dict[str, Any]) -> bool:
    """Whether the model is a scoring script that takes a body, not tensors: its one input is that body."""
    tensors = [t for key in ("inputs", "outputs") for t in metadata.get(key, ())]
    return metadata.get("platform") == "script" and [t["name"] for t in tensors] in ([], ["data", "result"])


def _score(client: Client, args: argparse.Namespace) -> Any:
    # a script without a tensor signature takes bytes and knows itself what they are
    try:
        body = args.input.read_bytes()
    except OSError as e:
        raise BadArtefact(f"{args.input}: cannot be read: {e.strerror}") from e
    kind = _TYPES.get(args.input.suffix.lower(), "application/octet-stream")
    return client.score(body, f"/models/{quote(args.model, safe='')}/score", kind)


def _print_score(answer: Any, as_json: bool) -> None:
    if not isinstance(answer, bytes):
        write(json.dumps(answer, ensure_ascii=False, indent=None if as_json else 2) + "\n")
    elif as_json:
        write(json.dumps(answer.decode("utf-8", "replace")) + "\n")
    else:
        sys.stdout.buffer.write(answer)


def _document(result: Result) -> dict[str, Any]:
    from ..tensors import datatype_of

    outputs = [
        {"name": name, "datatype": datatype_of(a), "shape": list(a.shape), "data": _values(result, name)}
        for name, a in result.items()
    ]
    return {"model": result.model, "version": result.version, "outputs": outputs}


def _values(result: Result, name: str) -> Any:
    array = result[name]
    if array.dtype.kind == "O":
        return result.text(name).tolist()
    return (array.astype("float32") if array.dtype.kind == "V" else array).tolist()  # V: bfloat16


def _print_table(result: Result) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    count = max((len(a) if a.ndim else 1 for a in result.values()), default=0)
    table = Table("row", *(escape(name) for name in result), title=Text(f"{result.model} version {result.version}"))
    for row in range(min(count, _SHOWN_ROWS)):
        table.add_row(str(row + 1), *(Text(_cell(result, name, row)) for name in result))
    # in a pipe or file nothing is folded or cut
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)
    if count > _SHOWN_ROWS:
        write(f"... and {count - _SHOWN_ROWS} more rows: --json prints all\n")


def _cell(result: Result, name: str, row: int) -> str:
    import numpy as np

    array = result.text(name) if result[name].dtype.kind == "O" else result[name]
    if array.ndim and row >= len(array):
        return ""
    part: Array = np.asarray(array[row] if array.ndim else array)
    values = [_shown(v) for v in part.ravel()[:_SHOWN_VALUES]]
    more = f" ... ({part.size} values)" if part.size > _SHOWN_VALUES else ""
    return " ".join(values) + more


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    plain = value.item()
    return f"{plain:.6g}" if isinstance(plain, float) else str(plain)
