"""Trial process: a child that loads a file first, so that a damaged one crashes the child and not this process.

Compiled code believes the indices that it reads: scikit-learn's, XGBoost's, LightGBM's and CatBoost's alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact

SECONDS = 300.0  # that the child may take


def tried(module: str, path: Path, arguments: tuple[str, ...], meanwhile: Callable[[], Any]) -> dict[str, Any]:
    """What `python -m gantline.builders.MODULE PATH ARGUMENTS...` says of the file: one JSON object on stdout.

    `meanwhile` is done here while the child works: an import that takes seconds in both. BadArtefact for a file at
    which the child crashes, stays or says nothing.
    """
    command = [sys.executable, "-W", "ignore", "-m", f"gantline.builders.{module}", str(path.absolute()), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as child:
        try:
            meanwhile()
            out, err = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired as e:
            raise BadArtefact(f"{path}: loading it took more than {SECONDS:.0f} s in a trial process") from e
        finally:
            child.kill()  # nothing to one that has ended
    if child.returncode < 0:
        raise BadArtefact(f"{path}: damaged: loading it crashed a trial process (signal {-child.returncode})")
    try:
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError) as e:
        last = (err.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise BadArtefact(f"{path}: a trial process could not load it: {last[:200]}") from e
    return found
