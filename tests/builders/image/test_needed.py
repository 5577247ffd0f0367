"""What stays of a wheel though a rule would leave it out."""

from __future__ import annotations

import sys
from pathlib import Path

from gantline.builders.image.needed import needed
from gantline.builders.image.wheel import Wheel

from .conftest import MakeWheel

HERE = (sys.version_info[0], sys.version_info[1])


def of(files: dict[str, str]) -> set[str]:
    return needed(files, lambda path: files[path].encode())


def test_stubs_that_are_read_at_import() -> None:
    """As scikit-image has it."""
    files = {
        "s/__init__.py": "import lazy_loader as _lazy\n__getattr__, _, _ = _lazy.attach_stub(__name__, __file__)\n",
        "s/__init__.pyi": "from .a import b\n", "s/a.py": "", "s/a.pyi": "",
    }  # fmt: skip
    assert of(files) == {"s/__init__.pyi"}


def test_tests_that_a_package_imports_while_it_is_imported() -> None:
    """As astropy has it, with what those import again, and no more."""
    files = {
        "a/__init__.py": "try:\n    from .tests.runner import R\nexcept KeyError:\n    pass\n",
        "a/tests/__init__.py": "", "a/tests/runner.py": "from a.tests import helper\nimport a.b.tests.more as m\n",
        "a/tests/helper.py": "", "a/tests/test_a.py": "from . import helper\n", "a/tests/tests/__init__.py": "",
        "a/b/tests/more.py": "def f():\n    from . import never\n", "a/b/tests/never.py": "",
        "a/c.py": "def test():\n    import a.tests.test_a\n", "a/d.py": "tests = ]",
        "tests/__init__.py": "", "a/e.py": "from .f import tests\n", "a/f/tests.py": "",
    }  # fmt: skip
    assert of(files) == {"a/tests/__init__.py", "a/tests/runner.py", "a/tests/helper.py", "a/b/tests/more.py"}


def test_it_stays_in_the_layer(make_wheel: MakeWheel, tmp_path: Path) -> None:
    path = make_wheel("x", {
        "x/__init__.py": b"from .tests.runner import A\n", "x/tests/__init__.py": b"", "x/tests/runner.py": b"A = 1\n",
        "x/tests/test_x.py": b"", "x/__init__.pyi": b"",
    })  # fmt: skip
    found = {e.path for e in Wheel.open(path).entries("site", HERE)}
    assert {"site/x/tests/__init__.py", "site/x/tests/runner.py"} <= found
    assert not found & {"site/x/tests/test_x.py", "site/x/__init__.pyi"}
