"""What the trial process runs: load a booster's file, walk its trees, ask it for answers; says JSON on stdout."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, GantlineError, Unsupported

from .boosters import loaded
from .trial_process import tried

ROWS = 64


def check(framework: str, path: Path) -> None:
    """BadArtefact says what is wrong with a file that this framework's code cannot load, or cannot be trusted with.

    Unsupported where the framework is not installed. The framework is imported here, too, while the child works.
    """
    if not path.is_file():
        return  # told by who reads it
    found = tried("booster_trial", path, (framework,), lambda: loaded(framework, path))
    if "error" in found:
        raise BadArtefact(found["error"].replace(str(path.absolute()), str(path)))


def trial(path: Path, framework: str) -> dict[str, Any]:
    """{"error": "..."} or {"ok": true}."""
    converter = import_module(f"gantline.builders.from_{framework}")
    try:
        face = converter.face_of(converter.read(path), str(path))
        with suppress(Unsupported):  # of what is not made of trees, or not of such as are known, there is the answer
            face.forest().check()
        _answer(face)
    except (Unsupported, ImportError):
        return {"ok": True}  # told by the parent
    except GantlineError as e:
        return {"error": e.message if str(path) in e.message else f"{path}: damaged: {e.message}"}
    except Exception as e:
        return {"error": f"{path}: damaged: {type(e).__name__}: {' '.join(str(e).split())[:200]}"}
    return {"ok": True}


def _answer(face: Any) -> None:
    """Answers on made-up rows: what would crash the parent crashes here."""
    from .booster_face import estimator_of
    from .sklearn_answers import answers_of, reference
    from .sklearn_layout import layout_of
    from .sklearn_ranges import sampler

    estimator = estimator_of(face)
    layout = layout_of(estimator, None)
    rows = sampler(estimator, layout)[0](ROWS)
    predict = reference(estimator, layout, answers_of(estimator))
    for inputs in (rows, face.holed(rows)):
        predict(inputs)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(trial(Path(sys.argv[1]), sys.argv[2])) + "\n")
