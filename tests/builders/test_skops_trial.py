"""What the trial process says of a file (here called in this process)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
from gantline.builders.skops_trial import trial
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer


def test_ok_untrusted_and_errors(tmp_path: Path) -> None:
    good, own, bad = tmp_path / "good.skops", tmp_path / "own.skops", tmp_path / "bad.skops"
    skops.io.dump(Ridge().fit([[0.0], [1.0]], [0, 1]), good)
    skops.io.dump(FunctionTransformer(np.savetxt).fit([[1.0]]), own)
    bad.write_bytes(good.read_bytes()[:-30])
    assert trial(good, ()) == {"ok": True}
    assert trial(own, ()) == {"untrusted": ["numpy.savetxt"]}
    assert trial(bad, ())["error"].startswith("BadZipFile")


@pytest.mark.slow
def test_torch_is_not_imported_for_it(tmp_path: Path) -> None:
    skops.io.dump(Ridge().fit([[0.0], [1.0]], [0, 1]), tmp_path / "m.skops")
    program = (
        "import sys; from pathlib import Path; from gantline.builders.skops_trial import _Hidden, trial\n"
        "print(trial(Path(sys.argv[1]), ()), 'torch' in sys.modules, _Hidden in sys.meta_path)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "m.skops")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "{'ok': True} False False\n"


def test_what_is_no_estimator_is_left_to_the_parent(tmp_path: Path) -> None:
    path = tmp_path / "dict.skops"
    skops.io.dump({"a": 1}, path)
    assert trial(path, ()) == {"ok": True}
