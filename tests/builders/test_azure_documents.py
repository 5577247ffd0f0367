"""Which files say what to deploy: found at the top of a folder, told apart, and read in one spelling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gantline.builders import azure_documents
from gantline.builders.azure_documents import read_documents, snake

from gantline.errors import BadArtefact


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("entry_script: a.py", "inference"),
        ("entryScript: a.py", "inference"),
        ("computeType: aci", "settings"),
        ("$schema: https://x/kubernetesOnlineDeployment.schema.json", "deployment"),
        ("code_configuration: {code: .}", "deployment"),
        ("endpoint_name: e\nmodel: m", "deployment"),
        ("endpointName: e\nmodel: m", "deployment"),
        ("codeConfiguration: {code: .}", "deployment"),
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


def test_a_document_is_read_whatever_editor_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "ic.json").write_bytes('\ufeff{\r\n  "entryScript": "a ü.py"\r\n}'.encode())
    (tmp_path / "dc.yml").write_bytes("\ufeffcomputeType: aci\r\n".encode())
    assert [(d.kind, len(d.tree)) for d in read_documents(tmp_path)] == [("settings", 1), ("inference", 1)]


def test_a_training_configuration_is_no_batch_deployment(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("")
    (tmp_path / "config.json").write_text('{"mini_batch_size": 32, "schema.json": 1, "type": "custom_model"}')
    assert read_documents(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("d.yml", "code_configuration: {\n", r"d\.yml: line 2: not YAML"),
        ("d.yml", "code_configuration: &a [*a]\n", "aliases stand for more than"),
        ("d.json", '{"entryScript": ', r"d\.json: not JSON"),
        ("d.json", '{"entryScript": ' + "[" * 100_000 + "}", r"d\.json: not JSON \(maximum recursion"),
        ("d.json", '{"entryScript": ' + "[" * 600 + "]" * 600 + "}", r"d\.json: not JSON \(maximum recursion"),
    ],
)
def test_what_speaks_of_azure_and_cannot_be_read_says_so(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(BadArtefact, match=told) as e:
            read_documents(path)
        assert "\n" not in e.value.message and e.value.message.count(str(tmp_path)) == 1
    (tmp_path / "score.py").write_text("")
    assert read_documents(tmp_path) == [], "a script beside it is what is meant"


def test_files_of_others_are_not_even_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(text: str, where: str) -> None:
        raise AssertionError(f"{where} is no document of Azure's")

    monkeypatch.setattr(azure_documents, "parse_yaml", parse)
    (tmp_path / "workflow.yml").write_text("on: push\njobs: {a: {steps: []}}\n")
    assert read_documents(tmp_path) == []
