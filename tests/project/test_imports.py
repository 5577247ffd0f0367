"""Imports flow one way: vocabulary <- accelerators <- builders, and accelerators <- serve; and they cost nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest

from gantline.cli import VERBS

# folder -> the other folders that its files may import
MAY = {
    "gantline": (),
    "accelerators": ("gantline",),
    "builders": ("gantline", "accelerators"),
    "serve": ("gantline", "accelerators"),
}
# these bring the parts together, and import them inside functions
MEETING_PLACES = ("gantline/cli/", "gantline/api.py", "gantline/endpoint_keys.py")
# modules whose import is dear, or which a reader of packages or a client may not have
HEAVY = {
    "fsspec",
    "grpc",
    "httptools",
    "ml_dtypes",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "orjson",
    "pandas",
    "pyarrow",
    "psycopg",
    "rich",
    "scipy",
    "sklearn",
    "skl2onnx",
    "skops",
    "sqlalchemy",
    "starlette",
    "torch",
    "uvicorn",
    "uvloop",
    "yaml",
}


def folder_of(module: str) -> str | None:
    """The top-level folder that a module name lives in; None for modules that are not ours."""
    parts = module.split(".")
    if parts[0] != "gantline":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY and parts[1] != "gantline" else "gantline"


def imports(tree: ast.Module, path: PurePath) -> Iterator[tuple[str, int, bool]]:
    """Each imported module's absolute name, its line, and whether the import runs when the file is imported."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and ast.unparse(guard.test).endswith("TYPE_CHECKING")
        for statement in guard.body
        for node in ast.walk(statement)
    }
    package = package_of(path)
    for node in ast.walk(tree):
        at_import = id(node) not in inside and id(node) not in typing_only
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, at_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            yield module, node.lineno, at_import
            # `from gantline import serve` names a folder too
            yield from ((f"{module}.{alias.name}", node.lineno, at_import) for alias in node.names)


def package_of(path: PurePath) -> list[str]:
    """The package whose relative imports a file uses."""
    parts = list(path.parts[:-1])
    return parts if parts[0] == "gantline" else ["gantline", *parts]


def violations(text: str, path: PurePath) -> list[str]:
    """What a file imports against the rule."""
    home = path.parts[0]
    found = []
    for module, line, at_import in imports(ast.parse(text), path):
        other = folder_of(module)
        at_home = path.as_posix().startswith(("gantline/cli/", "gantline/__main__.py"))
        if f"{module}.".startswith("gantline.cli.") and not at_home:
            found.append(f"{path}:{line} imports the command line")
        if other is None or other == home or other in MAY[home]:
            continue
        if home == "gantline" and path.as_posix().startswith(MEETING_PLACES) and not at_import:
            continue
        found.append(f"{path}:{line} imports {module}")
    return sorted(set(found))


def test_direction(root: Path, sources: list[Path]) -> None:
    found = [bad for path in sources for bad in violations((root / path).read_text("utf-8"), path)]
    assert found == []


@pytest.mark.parametrize(
    ("path", "text", "allowed"),
    [
        ("accelerators/x.py", "from gantline.serve import core", False),
        ("accelerators/x.py", "def f():\n    import gantline.builders.source", False),
        ("accelerators/script/x.py", "from ...serve import core", False),
        ("accelerators/script/x.py", "from ..engine import Engine", True),
        ("builders/x.py", "from gantline import serve", False),
        ("builders/x.py", "from gantline.accelerators.session import Session", True),
        ("serve/fronts/x.py", "from gantline.builders import source", False),
        ("serve/fronts/x.py", "from ..core import Core", True),
        ("gantline/wire/x.py", "from gantline.accelerators import engine", False),
        ("serve/x.py", "from gantline.cli import main", False),
        ("gantline/x.py", "def f():\n    from .serve import core", False),
        ("gantline/api.py", "def f():\n    from .serve import core", True),
        ("gantline/api.py", "from .serve import core", False),
        ("gantline/cli/x.py", "from gantline.builders import pack", False),
        ("gantline/cli/x.py", "def f():\n    from ..builders import pack", True),
        ("gantline/cli/x.py", "if TYPE_CHECKING:\n    from ..builders import pack", True),
    ],
)
def test_the_rule_itself(path: str, text: str, allowed: bool) -> None:
    assert (violations(text, PurePath(path)) == []) is allowed


def loaded_by(statement: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import gantline",
        "import gantline.errors, gantline.exits, gantline.settings",
        "import gantline.cli; gantline.cli.parser('')",
        "import gantline; dir(gantline); gantline.GantlineError",
    ],
)
def test_the_vocabulary_costs_nothing(statement: str) -> None:
    assert loaded_by(statement) & (HEAVY | {"google", "asyncio", "ssl", "socket"}) == set()


def test_every_public_name_is_there() -> None:
    """In a fresh interpreter, and after the submodules of similar names were imported."""
    code = (
        "import gantline, gantline.packages, gantline.api, gantline.client\n"
        "for name in gantline.__all__: assert getattr(gantline, name) is not None, name\n"
        "assert callable(gantline.package) and set(gantline.__all__) <= set(dir(gantline))\n"
        "try: gantline.absent\nexcept AttributeError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'gantline' has no attribute 'absent'\n"


def test_a_client_loads_no_server() -> None:
    assert loaded_by("from gantline import AsyncClient, Client") & (HEAVY - {"numpy", "ml_dtypes", "orjson"}) == set()


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"demo"}))
def test_a_verbs_grammar_costs_next_to_nothing(verb: str) -> None:
    """`--help` needs nothing else, and most verbs then do something short."""
    heavy = HEAVY | {"asyncio", "ssl", "http"}
    assert loaded_by(f"from gantline.cli import parser; parser({verb!r})") & heavy == set()


def test_the_demo_s_loads_no_framework() -> None:
    heavy = loaded_by("from gantline.cli import parser; parser('demo')") & (HEAVY - {"numpy", "ml_dtypes", "orjson"})
    assert heavy == set()


def test_packages_and_images_are_read_without_numpy() -> None:
    code = "import gantline.api, gantline.packages, gantline.builders.image.order, gantline.registry.built"
    assert loaded_by(code) & (HEAVY - {"sqlalchemy"}) == set()


def test_only_the_meeting_places_exist(root: Path) -> None:
    assert all((root / place).exists() for place in MEETING_PLACES)
