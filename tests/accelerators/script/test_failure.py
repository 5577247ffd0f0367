"""Why a script did not load, in one line."""

from __future__ import annotations

import pytest
from gantline.accelerators.script.failure import failed_to_load, missing
from gantline.accelerators.script.supervise import Launch

from gantline.errors import BadArtefact, ScriptFailed


def launch(environment: str) -> Launch:
    return Launch(["/usr/bin/python3"], {"entry": "/p/code/score.py", "environment": environment}, {}, "/p")


FACTS = {"type": "OSError", "text": "no file", "contract": False, "file": "score.py", "line": 4, "module": ""}


def test_the_line_and_the_text() -> None:
    error = failed_to_load("m", FACTS, launch("current"))
    assert isinstance(error, ScriptFailed)
    assert str(error) == "model 'm': its script failed at score.py line 4: OSError: no file; the log has the traceback"
    nowhere = failed_to_load("m", {**FACTS, "line": None, "text": ""}, launch("current"))
    assert "/p/code/score.py: OSError;" in str(nowhere)
    assert isinstance(failed_to_load("m", {**FACTS, "contract": True}, launch("current")), BadArtefact)


@pytest.mark.parametrize(
    ("module", "name"), [("sklearn.svm", "scikit-learn"), ("cv2", "opencv-python-headless"), ("my_pkg", "my-pkg")]
)
def test_a_missing_module_comes_with_the_command_that_adds_it(module: str, name: str) -> None:
    assert missing(module, launch("current")).endswith(f"add it: /usr/bin/python3 -m pip install {name}")
    assert f"write {name} into the requirements" in missing(module, launch("requirements"))
