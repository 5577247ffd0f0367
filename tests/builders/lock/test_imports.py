"""What a scoring script imports, by its text alone, and what provides it here."""

from __future__ import annotations

import pickle
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from gantline.builders.lock.imports import found_here, requirements

from gantline.errors import BadArtefact

from .tiny import package

RUN = "\ndef init(): ...\ndef run(data): return data\n"


def asked(tmp_path: Path, code: dict[str, str]) -> dict[str, str]:
    """Requirement -> who asks."""
    code["score.py"] += RUN
    return {one.line: one.origin for one in requirements(package(tmp_path / "p", None, code=code))}


def test_installed_versions_with_their_lines(tmp_path: Path) -> None:
    found = asked(
        tmp_path,
        {
            "score.py": "import os, json\nimport numpy as np\nfrom sklearn.svm import SVC\nimport gantline\n"
            "def f():\n    import yaml\n",
        },
    )
    assert found == {
        f"numpy=={version('numpy')}": "score.py:2 imports numpy",
        f"scikit-learn=={version('scikit-learn')}": "score.py:3 imports sklearn.svm",
        f"pyyaml=={version('pyyaml')}": "score.py:6 imports yaml",
    }


def test_only_what_the_script_leads_to(tmp_path: Path) -> None:
    """Files of its own are followed, by package, by sibling and relatively; a file that nothing imports is not."""
    found = asked(
        tmp_path,
        {
            "score.py": "import prep.steps\nfrom tools import clean\nfrom importlib import import_module\n"
            "m = import_module('late')\n",
            "prep/__init__.py": "from . import inner",
            "prep/steps.py": "from .inner import f\nfrom ..tools import clean",
            "prep/inner.py": "import scipy.linalg\ndef f(): ...",
            "tools.py": "import joblib\nclean = 1",
            "late.py": "import pandas",
            "train.py": "import torch_geometric_that_nobody_has\nimport matplotlib",
        },
    )
    assert {line.split("==")[0]: origin for line, origin in found.items()} == {
        "scipy": "prep/inner.py:1 imports scipy.linalg",
        "joblib": "tools.py:1 imports joblib",
        "pandas": "late.py:1 imports pandas",
    }


def test_what_may_be_absent(tmp_path: Path) -> None:
    code = (
        "from typing import TYPE_CHECKING\ntry:\n    import fancy_thing\nexcept ImportError:\n    fancy_thing = None\n"
        "if TYPE_CHECKING:\n    import checkers_only\n"
        "try:\n    import numpy\nexcept (ValueError, ModuleNotFoundError):\n    pass\n"
        "from azureml.core.model import Model\nimport triton_python_backend_utils\n"
    )
    assert list(asked(tmp_path, {"score.py": code})) == [f"numpy=={version('numpy')}"]


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nif sys.platform == 'win32':\n    import winthing",
        "import contextlib\nwith contextlib.suppress(ImportError):\n    import fancy_thing",
        "import sys\nif sys.version_info < (3, 9):\n    import old_thing",
        "from importlib.util import find_spec\nif find_spec('fancy_thing'):\n    import fancy_thing",
        "try:\n    import fancy_thing\nexcept (OSError, ImportError):\n    if False:\n        import nothing_either",
    ],
)
def test_what_no_image_imports(tmp_path: Path, text: str) -> None:
    assert asked(tmp_path, {"score.py": text}) == {}


def test_the_other_branch(tmp_path: Path) -> None:
    text = "import os\nif os.name == 'nt':\n    import winthing\nelse:\n    import numpy\n"
    assert list(asked(tmp_path, {"score.py": text})) == [f"numpy=={version('numpy')}"]
    with pytest.raises(BadArtefact, match=r"score\.py:4 imports nosuch_thing"):
        text = "import sys\nif len(sys.argv) > 1:\n    pass\n    import nosuch_thing\n"
        asked(tmp_path / "more", {"score.py": text})


def test_an_import_that_nothing_here_provides(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"^prep\.py:2 imports nosuch_thing, which is not installed here.*--env"):
        asked(tmp_path, {"score.py": "import prep", "prep.py": "import os\nimport nosuch_thing\n"})


def test_names_that_distributions_share(tmp_path: Path) -> None:
    """`google` is of several; what follows it says whose."""
    found = asked(tmp_path, {"score.py": "from google.protobuf import message\nfrom google import protobuf\n"})
    assert found == {f"protobuf=={version('protobuf')}": "score.py:1 imports google.protobuf"}


def test_what_was_there_when_it_was_packaged(tmp_path: Path) -> None:
    """Recorded versions are what counts, whatever is installed here, and be it nothing."""
    code = {"score.py": "import numpy\nimport nosuch.thing\ntry:\n    import pandas\nexcept ImportError: ...\n" + RUN}
    made = package(tmp_path / "p", None, code=code)
    assert found_here(made) == {"numpy": f"numpy=={version('numpy')}", "pandas": f"pandas=={version('pandas')}"}
    found = {"numpy": "numpy==1.0", "nosuch": "no-such==3.1 no-such-extra==3.2"}
    manifest = replace(made.manifest, environment=replace(made.manifest.environment, found=found))
    assert [one.line for one in requirements(replace(made, manifest=manifest))] == [
        "no-such==3.1", "no-such-extra==3.2", "numpy==1.0",
    ], "pandas was not there"  # fmt: skip


def test_a_stand_in_that_needs_pandas(tmp_path: Path) -> None:
    text = "from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType\n"
    assert f"pandas=={version('pandas')}" in asked(tmp_path, {"score.py": text})


def test_what_pickles_hold(tmp_path: Path) -> None:
    made = package(tmp_path / "p", None, pickles=("code/model.pkl",))
    (made.path / "code" / "model.pkl").write_bytes(pickle.dumps(np.arange(3)))
    (one,) = requirements(made)
    assert (one.line, one.origin) == (f"numpy=={version('numpy')}", "code/model.pkl holds objects of numpy")
    (made.path / "code" / "model.pkl").write_bytes(b"not a pickle")
    assert requirements(made) == ()


def test_a_script_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"score\.py: cannot be read as Python"):
        asked(tmp_path, {"score.py": "import ("})
