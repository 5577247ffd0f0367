"""`gantline package`: from a trained model to a package."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..exits import OK
from ..packages import Package
from . import rows
from .show import parity_line, print_json, table, write


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline package`."""
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="a model: file, folder or pkg.mod:object; left out with --script alone",
    )
    add("--name", required=True, help="what the model is called in URLs and image tags")
    add("--sample", type=Path, metavar="FILE", help=f"rows to compare on: {rows.FORMATS}; for a script, a body")
    rows.arguments(parser)
    add("--script", type=Path, metavar="FILE", help="a scoring script with init() and run(), or with infer()")
    add("--code", type=Path, metavar="DIR", help="the folder of code that the script needs")
    add("--model-dir", type=Path, metavar="DIR", help="the folder that the script finds as AZUREML_MODEL_DIR")
    add("--env", type=Path, metavar="FILE", help="requirements.txt, pyproject.toml, conda.yml, or 'current'")
    add("--label", default="", help="a human's name for this version, kept in the lineage")
    add("-o", dest="output", type=Path, metavar="DIR", help="where to write the package (default: ./NAME.pkg)")
    add("--overwrite", action="store_true", help="replace what is at -o")
    add("--trust-pickle", action="store_true", help="allow loading a pickle: it can run any code while it is read")
    add(
        "--trust",
        action="append",
        default=[],
        metavar="TYPE",
        help="allow this type in a .skops file, or Lambda in a Keras one",
    )
    add("--module", default="", metavar="PKG.MOD:CLASS", help="the class of a torch state, or in a Keras model")
    add("--init", metavar="JSON", help="keyword arguments of that class")
    add("--signature", default="", metavar="NAME", help="which of a SavedModel's (default: serving_default)")
    add("--rtol", type=float, metavar="X", help="relative error that parity allows (default 1e-4)")
    add("--allow-flips", type=int, metavar="N", help="rows in which a label may differ (default 0)")
    add("--max-batch-size", type=int, metavar="N", help="rows that the server may stack (default 64; 0: never)")
    add("--pad", action="append", default=[], metavar="INPUT[=FILL]", help="fill up its lengths (with 0); repeatable")
    add("--pad-mask", default="", metavar="INPUT", help="the input that is 1 for data and 0 for padding")
    add("--unpad", action="append", default=[], metavar="OUTPUT=INPUT", help="an output as long as a padded input")
    add("--sequences", metavar="FILE", help='state that the server keeps: JSON {"states": {INPUT: OUTPUT}, ...}')
    add("--run", default="", metavar="ID", help="the training run, kept in the lineage")
    add("--dataset", default="", metavar="D", help="the data that it was trained on, kept in the lineage")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Make the package, and say what it is and what to type next."""
    from ..api import package, takes_body

    sample: Any = args.sample
    if sample is not None and not takes_body(args.source, args.script):
        sample = rows.read(sample, args)
    made = package(
        args.source,
        name=args.name,
        sample=sample,
        script=args.script,
        code=args.code,
        model_dir=args.model_dir,
        env=args.env,
        label=args.label,
        output=args.output,
        overwrite=args.overwrite,
        trust_pickle=args.trust_pickle,
        trust=tuple(args.trust),
        module=args.module,
        init=_init(args.init),
        signature=args.signature,
        rtol=args.rtol,
        allow_flips=args.allow_flips,
        max_batch_size=args.max_batch_size,
        pad=_fills(args.pad),
        pad_mask=args.pad_mask,
        unpad=_pairs(args.unpad),
        sequences=_sequences(args.sequences),
        run=args.run,
        dataset=args.dataset,
    )
    where = args.output or Path(f"{args.name}.pkg")
    if args.json:
        print_json({"path": str(where), "digest": made.digest, "manifest": made.manifest.to_json()})
    else:
        _tell(made, where)
    return OK


def _init(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as e:
        raise UsageError(f"--init: not JSON ({e}); expected an object of keyword arguments") from e
    if not isinstance(found, dict):
        raise UsageError(f"--init: expected a JSON object of keyword arguments, found {type(found).__name__}")
    return found


def _sequences(given: str | None) -> dict[str, Any] | None:
    """The file's JSON object, or what is given is one itself."""
    if given is None:
        return None
    try:
        found = json.loads(given if given.lstrip().startswith("{") else Path(given).read_text("utf-8"))
    except OSError as e:
        raise UsageError(f"--sequences {given}: cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise UsageError(f"--sequences: not JSON ({e}); expected an object with 'states'") from e
    if not isinstance(found, dict):
        raise UsageError(f"--sequences: expected a JSON object, found {type(found).__name__}")
    return found


def _fills(texts: list[str]) -> dict[str, float]:
    out = {}
    for text in texts:
        name, equals, fill = text.partition("=")
        try:
            out[name] = float(fill) if equals else 0.0
        except ValueError as e:
            raise UsageError(f"--pad {text}: {fill!r} is not a number; expected INPUT=FILL") from e
    return out


def _pairs(texts: list[str]) -> dict[str, str]:
    out = {}
    for text in texts:
        output, equals, name = text.partition("=")
        if not (output and equals and name):
            raise UsageError(f"--unpad {text}: expected OUTPUT=INPUT")
        out[output] = name
    return out


def _tell(made: Package, where: Path) -> None:
    m = made.manifest
    told = [("package", m.name), ("from", _source(made)), ("engine", m.engine)]
    if m.engine_reason:
        told.append(("why not ONNX", m.engine_reason))
    told += [("parity", parity_line(m))]
    told += [("note", note) for note in m.notes]
    told += [("digest", made.digest or ""), ("where", str(where))]
    table(told)
    write(f"\nnext:  gantline serve {where}\n")


def _source(made: Package) -> str:
    source = made.manifest.source
    return " ".join(p for p in (source.framework, source.type) if p) if source else "a scoring script"
