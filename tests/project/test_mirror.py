"""Tests mirror the sources: module x.py has a test_x.py (or test_x_*.py) in the folder of the same name."""

from __future__ import annotations

from pathlib import Path

import pytest

# source module -> where it is tested instead
ELSEWHERE = {
    "gantline/__init__.py": "tests/project/test_imports.py",  # what is looked up when first used
    "gantline/__main__.py": "tests/cli/test_main.py",
    # verbs about the registry, tried one after the other as they are typed
    "gantline/cli/diff.py": "tests/cli/test_explain.py",
    "gantline/cli/sign.py": "tests/builders/evidence/test_signature.py",
    "builders/evidence/check.py": "tests/builders/evidence/test_signature.py",
    "builders/evidence/envelope.py": "tests/builders/evidence/test_signature.py",
    "builders/evidence/statement.py": "tests/builders/evidence/test_signature.py",
    "gantline/cli/rebuild.py": "tests/builders/evidence/test_rebuilding.py",
    "builders/evidence/debian_files.py": "tests/builders/evidence/test_explanation.py",
    "builders/evidence/opened.py": "tests/cli/test_explain.py",
    "builders/evidence/record.py": "tests/builders/evidence/test_difference.py",
    "builders/evidence/wheel_files.py": "tests/builders/evidence/test_explanation.py",
    "gantline/cli/history.py": "tests/registry/test_commands.py",
    "gantline/cli/listing.py": "tests/registry/test_commands.py",
    "gantline/cli/promote.py": "tests/registry/test_commands.py",
    "gantline/cli/register.py": "tests/registry/test_commands.py",
    "gantline/cli/registered.py": "tests/registry/test_commands.py",
    "gantline/cli/registry.py": "tests/registry/test_commands.py",
    "gantline/cli/rollback.py": "tests/registry/test_commands.py",
    "gantline/cli/trace.py": "tests/registry/test_commands.py",
    "gantline/references.py": "tests/registry/test_commands.py",
    "gantline/registry/built.py": "tests/cli/test_build.py",
    "gantline/registry/labels.py": "tests/registry/test_registry.py",
    "gantline/registry/tables.py": "tests/registry/test_schema.py",  # beside what makes them
    "gantline/registry/version.py": "tests/registry/test_registry.py",  # records
    "gantline/request.py": "tests/gantline/wire/test_v2.py",  # two records without behaviour
    "serve/entry.py": "tests/serve/test_repository_layout.py",  # a record, as the scan fills it
    "serve/description.py": "tests/serve/routes/test_v2.py",  # documents, as the faces tell them
    "serve/distribution/refusal.py": "tests/serve/distribution/test_app.py",  # a record and its answer
    "serve/distribution/shelves.py": "tests/serve/distribution/test_app.py",  # as clients see it
    "gantline/cli/distribution.py": "tests/serve/distribution/test_server.py",  # flags of what is tried there
    "serve/exchange.py": "tests/serve/fronts/test_hot.py",  # protocols and a record, as fronts and handlers use them
    # boosters' own libraries are in another environment: the three files that run there try all that a booster passes
    "builders/booster_converter.py": "tests/builders/test_from_xgboost.py",
    "builders/booster_face.py": "tests/builders/test_from_xgboost.py",
    "builders/booster_script.py": "tests/builders/test_from_catboost.py",
    "builders/catboost_forest.py": "tests/builders/test_from_catboost.py",
    "builders/lightgbm_forest.py": "tests/builders/test_from_lightgbm.py",
    "builders/xgboost_forest.py": "tests/builders/test_from_xgboost.py",
    "builders/image/places.py": "tests/builders/image/test_runtime.py",  # names of places, which it lays out
    "builders/from_torch_example.py": "tests/builders/test_from_torch.py",  # steps of one converter, tried as a whole
    "builders/from_torch_pickle.py": "tests/builders/test_from_torch_load.py",
    "builders/from_torch_programs.py": "tests/builders/test_from_torch.py",
    "builders/isolated_child.py": "tests/builders/test_isolated.py",  # the other end of the same pipe
    "builders/unpickle_child.py": "tests/builders/test_from_pickle.py",  # run by what is tested there
}


def is_tested(path: Path, names: dict[Path, set[str]]) -> bool:
    """Whether some test file of the module's folder is named for it. `gantline/wire` may be `tests/wire`."""
    folders = [Path("tests") / path.parent]
    if path.parts[0] == "gantline" and len(path.parts) > 2:
        folders.append(Path("tests").joinpath(*path.parent.parts[1:]))
    wanted = f"test_{path.stem}"
    return any(n == wanted or n.startswith(f"{wanted}_") for f in folders for n in names.get(f, ()))


@pytest.fixture(scope="module")
def untested(root: Path, sources: list[Path]) -> set[str]:
    names: dict[Path, set[str]] = {}
    for path in (root / "tests").rglob("test_*.py"):
        names.setdefault(path.parent.relative_to(root), set()).add(path.stem)
    code = [p for p in sources if p.name != "__init__.py" or p.parent.name in ("cli", "gantline")]
    renamed = {p: p.parent / "main.py" if p.name == "__init__.py" else p for p in code}
    return {str(p) for p, shown in renamed.items() if not is_tested(shown, names)}


def test_every_module_has_its_tests(untested: set[str]) -> None:
    assert sorted(untested - set(ELSEWHERE)) == []


def test_the_exceptions_are_needed_and_true(root: Path, untested: set[str]) -> None:
    assert sorted(set(ELSEWHERE) - untested) == []
    assert [where for where in ELSEWHERE.values() if not (root / where).is_file()] == []
