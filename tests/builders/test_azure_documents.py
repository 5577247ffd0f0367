"""Which files say what to deploy: found at the top of a folder, told apart, and read in one spelling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gantline.builders.azure_documents import read_documents, snake


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("entry_script: a.py", "inference"),
        ("entryScript: a.py", "inference"),
        ("computeType: aci", "settings"),
        ("$schema: https://x/kubernetesOnlineDeployment.schema.json", "deployment"),
        ("code_configuration: {code: .}", "deployment"),
        ("endpoint_name: e\nmodel: m", "deployment"),
        ("mini_batch_size: 3\nmodel: m\nendpoint_name: e", "batch"),
        ("type: mlflow_model\npath: m", "model"),
        ("$schema: https://x/environment.schema.json\nconda_file: c.yml", "environment"),
        ("name: e\nauth_mode: key", "endpoint"),
        ("name: e\ndependencies: [python]", None),
        ("- a", None),
        ("a: [", None),
    ],
)
def test_kinds(tmp_path: Path, text: str, kind: str | None) -> None:
    (tmp_path / "d.yml").write_text(text)
    assert [d.kind for d in read_documents(tmp_path)] == ([kind] if kind else [])


def test_one_spelling_but_for_the_users_own_names() -> None:
    tree = {"entryScript": 1, "scoringTimeoutMs": 2, "environmentVariables": {"myName": 3}, "a": [{"bC": 4}]}
    wanted = {"entry_script": 1, "scoring_timeout_ms": 2, "environment_variables": {"myName": 3}, "a": [{"b_c": 4}]}
    assert snake(tree) == wanted


def test_v1s_companion_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "ic.json").write_text(json.dumps({"entryScript": "a.py"}))
    (tmp_path / "dc.json").write_text(json.dumps({"computeType": "local"}))
    (tmp_path / "huge.json").write_text(" " * (2 << 20) + "{}")
    assert [d.kind for d in read_documents(tmp_path / "ic.json")] == ["inference", "settings"]
