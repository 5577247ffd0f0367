"""`gantline deploy`: files as they are asked for, nothing where something is wrong, and what is left out is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from gantline.cli import main
from gantline.registry.registry import Registry

REF = "registry.example/team/iris_flowers@sha256:" + "5a" * 32


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_flags_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--namespace",
        "prod",
        "--pull-secret",
        "registry",
        "--instances",
        "2-5",
        "--cpu",
        "1",
        "--memory",
        "1Gi",
        "--env",
        "A=b=c",
        "--secret",
        "T=bank:token",
    ]
    assert main(["deploy", REF, "--to", "kubernetes", *words, "--keys-secret", "gate"]) == 0
    first = capsys.readouterr().out
    trees = list(yaml.safe_load_all(first))
    assert [t["kind"] for t in trees] == [
        "Service", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
    ]  # fmt: skip
    assert (trees[1]["metadata"]["name"], trees[1]["metadata"]["namespace"]) == ("iris-flowers-main", "prod")
    assert trees[1]["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    (one,) = trees[1]["spec"]["template"]["spec"]["containers"]
    assert one["image"] == REF and {"name": "A", "value": "b=c"} in one["env"]
    assert one["resources"]["limits"] == {"memory": "1Gi"}
    assert main(["deploy", REF, "--to", "kubernetes", *words, "--keys-secret", "gate"]) == 0
    assert capsys.readouterr().out == first, "the same words, the same bytes"


def test_what_is_deployed_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package, image = "sha256:" + "1" * 64, REF.partition("@")[2]
    with Registry.open() as registry:
        registry.record_image(package, image, id="", name="iris:1", platform="linux/amd64")
        assert main(["deploy", REF, "--to", "compose", "--name", "quiet", "--no-record"]) == 0
        assert main(["deploy", REF, "--to", "compose", "--name", "flowers"]) == 0
        capsys.readouterr()
        links = {link.what: link.values for link in registry.trace(image).links}
    assert links["deployment"] == ("flowers/main on compose",)


def test_a_directory_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", REF, "--to", "kubernetes", "-o", "k8s"]) == 0
    assert "next:  kubectl apply -f k8s" in capsys.readouterr().out
    assert len(list((tmp_path / "k8s").iterdir())) == 4
    assert main(["deploy", REF, "--to", "kubernetes", "-o", "k8s"]) == 2
    assert main(["deploy", REF, "--to", "kubernetes", "-o", "k8s", "--overwrite"]) == 0
    assert main(["deploy", REF, "--to", "compose", "-o", "compose.yaml"]) == 0
    tree = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    assert list(tree["services"]) == ["main"]
    compose = "next:  docker compose --project-name iris-flowers -f"
    assert f"{compose} compose.yaml up --wait" in capsys.readouterr().out
    assert main(["deploy", REF, "--to", "compose", "-o", "folder"]) == 0
    assert f"{compose} {Path('folder', 'compose.yaml')} up --wait" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")
def test_an_endpoint_from_here_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where something is that acts on it; who only writes files has no endpoints."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///absent.sock")
    words = ["deploy", REF, "--to", "kubernetes", "-o", "k8s", "--overwrite"]
    assert main(words) == 0 and main(["endpoint", "list", "--json"]) == 0
    assert capsys.readouterr().out.endswith("[]\n")
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text("#!/bin/sh\necho there was no answer >&2\nexit 1\n")
    kubectl.chmod(0o755)
    assert main(words) == 0
    capsys.readouterr()
    assert main(["endpoint", "list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["state"]) == ("iris-flowers", "unreachable") and "no answer" in found["why"]
    assert main(["endpoint", "delete", "iris-flowers"]) != 0, "what cannot be ended is not forgotten"
    assert "; `--forget` takes it off this user's record only" in capsys.readouterr().err
    assert main(["endpoint", "delete", "iris-flowers", "--forget"]) == 0
    assert main(["endpoint", "show", "iris-flowers"]) != 0


def test_a_canary_wants_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"endpoint": "iris", "deployments": {"blue": {"traffic": 90}, "green": {"traffic": 10, "image": REF}}}
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(said))
    assert main(["deploy", REF, "--to", "kserve", "--file", "d.yaml"]) == 2
    assert "applied one after the other; name a directory" in capsys.readouterr().err
    assert main(["deploy", REF, "--to", "kserve", "--file", "d.yaml", "-o", "out"]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1-blue.yaml", "2-green.yaml"]
    assert main(["deploy", REF, "--to", "compose", "--file", "d.yaml", "-o", "c.yaml"]) == 2
    assert "compose has no router" in capsys.readouterr().err and not (tmp_path / "c.yaml").exists()


def test_an_image_for_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.yaml").write_text("endpoint: iris\ndeployments: {blue: {}}\n")
    words = ["deploy", REF, "--to", "compose", "--file", "d.yaml"]
    assert main([*words, "--image", f"bleu={REF}"]) == 2
    assert "no deployment 'bleu'; did you mean 'blue'" in capsys.readouterr().err
    assert main([*words, "--image", f"blue={REF}", "-o", "a b"]) == 0
    assert "docker compose --project-name iris -f 'a b/compose.yaml' up --wait" in capsys.readouterr().out


def test_azure_with_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "blue.yml").write_text(
        "name: blue\nendpoint_name: credit\nmodel: azureml:m:1\ninstance_type: Standard_DS3_v2\ninstance_count: 2\n"
    )
    words = ["deploy", REF, "--to", "compose", "--file", "blue.yml", "-o", "c.yaml"]
    assert main([*words, "--strict"]) == 2
    assert "--strict: 2 not applied: blue.yml: model" in capsys.readouterr().err and not (tmp_path / "c.yaml").exists()
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line.partition(" is not")[0] for line in told["not_applied"]] == [
        "blue.yml: model", "blue.yml: instance_type",
    ]  # fmt: skip
    assert told["documents"]["compose.yaml"]["services"]["blue"]["environment"]["GANTLINE_WORKERS"] == "2"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["iris:1"], "names no registry"),
        ([REF, "--instances", "few"], "--instances 'few'"),
        ([REF, "--image", "blue=x"], "without --file that is REF"),
        ([REF, "--env", "A"], "--env 'A': expected NAME=VALUE"),
        ([REF, "--secret", "A=b"], "expected VARIABLE=SECRET:KEY"),
        ([REF, "--file", "absent.yaml"], "absent.yaml: no such file"),
        ([REF, "--name", "No_Name"], "endpoint 'No_Name'"),
        ([REF, "--env", "GANTLINE_WORKER=2"], "did you mean 'GANTLINE_WORKERS'"),
    ],
)
def test_what_is_wrong(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", *words, "--to", "kubernetes"]) != 0
    out, err = capsys.readouterr()
    assert told in err and err.count("\n") == 1 and not out
