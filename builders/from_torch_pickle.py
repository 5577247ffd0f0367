"""A whole module pickled by torch.save(model): with --trust-pickle, a child process loads it and writes a program."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gantline.accelerators.torch_archive import LEGACY, PICKLED, kind_of

from gantline.errors import BadArtefact
from gantline.tensors import Array

from .frames import read_frame, write_frame
from .from_torch_load import read_state
from .source import Source

TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Program:
    """What the child wrote: a .pt2 or TorchScript file, the module's class, and inputs on which it runs."""

    path: Path
    type: str
    example: dict[str, Array]


def needs_unpickling(source: Source) -> bool:
    """Whether this is a trusted file of torch.save that holds more than weights."""
    path = source.path
    if path is None or not source.trust_pickle or source.module or kind_of(path) not in (PICKLED, LEGACY):
        return False
    try:
        read_state(source, path)
    except BadArtefact:
        return True
    return False


def program_of(source: Source, work: Path) -> Program:
    """Have it loaded and written by a child of this interpreter, in the user's directory, where its class may be."""
    assert source.path is not None
    asked, answered = work / "asked.frame", work / "answered.frame"
    header = {
        "path": str(source.path.resolve()),
        "work": str(work),
        "limits": [source.limits.rtol, source.limits.flips],
        "sampled": source.sample is not None,
    }
    with asked.open("wb") as f:
        write_frame(f, header, source.sample)
    # not by -m, which would make this module __main__, where pickles look for classes of the script that saved them
    command = [sys.executable, "-c", f"from {__name__} import child; child()", str(asked), str(answered)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as e:
        raise BadArtefact(f"{source.path}: loading it took more than {TIMEOUT_S} s") from e
    try:
        with answered.open("rb") as f:
            found, example = read_frame(f)
    except (OSError, EOFError, json.JSONDecodeError) as e:
        words = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:300]
        raise BadArtefact(f"{source.path}: the process that loaded it ended with {done.returncode}: {words}") from e
    if "error" in found:
        hint = "; save its state_dict(), and give its class with --module" if "__main__" in found["error"] else ""
        raise BadArtefact(f"{source.path}: cannot be unpickled and written as a program: {found['error']}{hint}")
    return Program(Path(found["path"]), found["type"], example)


def child() -> None:
    """What the child runs; its arguments are the two files."""
    from gantline.accelerators.torch import one_line

    from gantline.errors import GantlineError

    asked, answered = map(Path, sys.argv[1:3])
    with asked.open("rb") as f:
        header, sample = read_frame(f)
    found: dict[str, str]
    example: dict[str, Array] = {}
    try:
        found, example = _written(header, sample if header["sampled"] else None)
    except GantlineError as e:
        found = {"error": e.message}
    except BaseException as e:  # whatever the pickle does, its last word is a line
        found = {"error": f"{type(e).__name__}: {one_line(e)}"}
    with answered.open("wb") as f:
        write_frame(f, found, example)


def _written(header: dict[str, object], sample: dict[str, Array] | None) -> tuple[dict[str, str], dict[str, Array]]:
    import torch

    from . import from_torch
    from .from_torch_example import example_of, runs
    from .from_torch_load import from_object
    from .source import Limits

    where, limits = str(header["path"]), header["limits"]
    assert isinstance(limits, list)
    loaded = from_object(torch.load(where, map_location="cpu", weights_only=False), where)
    example = runs(loaded, example_of(loaded, sample))
    names = from_torch.outputs_of(loaded, example)
    cases, fixed = from_torch.cases_of(loaded, example)
    work = Path(str(header["work"])) / "unpickled"
    work.mkdir()
    made = from_torch.first_that_agrees(loaded, cases, fixed, names, Limits(*limits), work, ("torch",))
    return {"path": str(made.path), "type": loaded.type}, {n: np.asarray(a) for n, a in example.items()}
