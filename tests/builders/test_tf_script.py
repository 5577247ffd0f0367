"""The script around a SavedModel: its files, its request, its text. That it answers: test_from_keras."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest
from gantline.builders.source import Conversion, Source
from gantline.builders.tf_script import behind_script, script_text

from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("text", "BYTES", (-1, 1)),), (TensorSpec("y", "FP32", (-1, 2)),))


def test_what_the_package_holds(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    for name in ("saved_model.pb", "fingerprint.pb", "variables/variables.index"):
        (saved / name).parent.mkdir(parents=True, exist_ok=True)
        (saved / name).write_bytes(b"x")
    base = Conversion("", "keras", "Functional", {}, reason="why")
    made = behind_script(base, saved, "serve", SIGNATURE, Source("m"), tmp_path)
    inside = {"code/score.py", "models/saved_model/saved_model.pb", "models/saved_model/variables/variables.index"}
    assert set(made.files) == inside, "the fingerprint is another one each time"
    assert (made.engine, made.reason, made.signature) == ("script", "why", SIGNATURE)
    assert f"numpy=={version('numpy')}" in made.manifest["environment"].requirements


def test_the_users_request_wins(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("tensorflow==2.20.0\n")
    source = Source("m", environment=tmp_path / "r.txt")
    made = behind_script(Conversion("", "keras", "m", {}), tmp_path / "none", "serve", SIGNATURE, source, tmp_path)
    assert made.manifest["environment"].requirements == ("tensorflow==2.20.0",)


@pytest.mark.parametrize("key", ["serving_default", 'a "quoted" name'])
def test_the_script_is_python_with_the_facts(key: str) -> None:
    tree = ast.parse(script_text(key, SIGNATURE))
    facts = {
        n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    assert ast.literal_eval(facts["SIGNATURE"]) == key
    assert ast.literal_eval(facts["INPUTS"]) == {"text": "BYTES"}
    assert ast.literal_eval(facts["OUTPUTS"]) == ["y"]
