"""Run by the interpreter of another environment (`-m`): converts a file there and answers for the source model.

Frames come in on stdin and go out on stdout (see isolated.py); whatever libraries print goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from gantline.errors import GantlineError
from gantline.manifest import Manifest
from gantline.tensors import Array

from .frames import Header, read_frame, write_frame
from .source import Conversion, Converter, Limits, Source


def main() -> int:
    """Serve frames until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    conversion: Conversion | None = None
    while True:
        try:
            header, arrays = read_frame(sys.stdin.buffer)
        except EOFError:
            return 0
        try:
            if header["call"] == "convert":
                conversion = _convert(header, arrays)
                write_frame(answers, _described(conversion), conversion.sample or {})
            else:
                assert conversion is not None
                write_frame(answers, {}, _call(conversion, header, arrays))
        except GantlineError as e:
            write_frame(answers, {"error": e.message, "kind": type(e).__name__})
        except Exception as e:  # told to the parent, which has the user's ear
            write_frame(answers, {"error": f"{type(e).__name__}: {' '.join(str(e).split())[:300]}", "kind": ""})


def _convert(header: Header, arrays: Mapping[str, Array]) -> Conversion:
    if header["module"]:
        sys.path.insert(0, header["directory"])
    source = Source(
        name=header["name"],
        path=Path(header["path"]),
        trust=tuple(header["trust"]),
        module=header["module"],
        signature=header["signature"],
        sample=dict(arrays) if header["sampled"] else None,
        rows=header["rows"],
        limits=Limits(*header["limits"]),
    )
    return cast(Converter, import_module(header["converter"])).convert(source, Path(header["work"]))


def _described(c: Conversion) -> Header:
    manifest = Manifest(name="x", engine=c.engine, signature=c.signature, **c.manifest)
    return {
        "manifest": manifest.to_json(),
        "fields": sorted(c.manifest),
        "framework": c.framework,
        "type": c.type,
        "files": {inside: str(path) for inside, path in c.files.items()},
        "model": c.model,
        "versions": c.versions,
        "labels": c.labels,
        "classes": c.classes,
        "reason": c.reason,
        "notes": c.notes,
        "sampled": c.sample is not None,
        "has": [n for n in ("predict", "synthetic", "probes") if getattr(c, n) is not None],
    }


def _call(conversion: Conversion, header: Header, arrays: Mapping[str, Array]) -> dict[str, Array]:
    function: Any = getattr(conversion, header["call"])
    if header["call"] == "predict":
        return {str(i): a for i, a in enumerate(function(arrays))}
    return dict(function(header["rows"]))


if __name__ == "__main__":
    sys.exit(main())
