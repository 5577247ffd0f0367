"""Pickles: never loaded in this process, and not at all unless the user trusts the file."""

from __future__ import annotations

from pathlib import Path

from gantline.errors import BadArtefact, Unsupported

from .source import Conversion, Source

SUFFIXES = (".pkl", ".pickle", ".joblib")


def recognises(source: Source) -> bool:
    """A file named as pickles are."""
    return source.path is not None and source.path.suffix.lower() in SUFFIXES


def convert(source: Source, work: Path) -> Conversion:
    """Without --trust-pickle, BadArtefact says what the risk is and what to do instead."""
    path = source.path
    assert path is not None
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a pickle")
    if not source.trust_pickle:
        raise BadArtefact(
            f"{path}: is a pickle, and loading one runs whatever code its author put in it; if you trust the file pass "
            "--trust-pickle, or save the model by skops.io.dump(model, 'model.skops') and package that"
        )
    raise Unsupported(f"{path}: trusted pickles are not read yet; save the model by skops.io.dump")
