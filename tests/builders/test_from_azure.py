"""Azure ML folders of both generations as sources, as Azure's own samples lay them out; run without Azure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.session import Session
from gantline.serve.opening import open_version
from gantline.serve.repository_layout import find_entries

from gantline.errors import BadArtefact, Unsupported, UsageError, VerificationFailed
from gantline.packages import Package
from gantline.settings import ServeSettings, resolve
from tests.builders.triton_models import scorer

Packager = Callable[..., Package]
SCORE = """
import json
import os


def init():
    global factor
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "factor.txt")) as f:
        factor = float(f.read()) * float(os.environ.get("BOOST", "1"))


def run(raw_data):
    return [factor * x for x in json.loads(raw_data)["data"]]
"""
CONDA = "name: e\\ndependencies:\\n- pip:\\n  - numpy\\n".replace("\\n", "\n")
DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: my-endpoint
model:
  path: ../model-1/model/
  name: factor
code_configuration:
  code: ../model-1/onlinescoring/
  scoring_script: score.py
environment:
  conda_file: ../model-1/environment/conda.yaml
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest
environment_variables:
  BOOST: 2
  SERVICE_NAME: factors
  WORKER_COUNT: 2
instance_type: Standard_DS3_v2
instance_count: 1
request_settings:
  request_timeout_ms: 3000
  max_concurrent_requests_per_instance: 2
  max_queue_wait_ms: 250
liveness_probe:
  period: 10
data_collector:
  collections: {}
surprise: 1
"""
INFERENCE = {
    "entryScript": "score.py",
    "sourceDirectory": "./source",
    "environment": {
        "name": "project_env",
        "environmentVariables": {"BOOST": "3"},
        "python": {
            "userManagedDependencies": False,
            "condaDependencies": {"dependencies": [{"pip": ["azureml-defaults==1.47.0", "numpy"]}]},
        },
        "docker": {"enabled": True, "baseImage": "mcr.microsoft.com/azureml/base:latest"},
        "inferencingStackVersion": "latest",
    },
}
SETTINGS = {
    "computeType": "aks", "authEnabled": True, "scoringTimeoutMs": 4000, "maxConcurrentRequestsPerContainer": 1,
    "maxQueueWaitMs": 500, "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1.0}, "gpuCores": 1,
}  # fmt: skip


def second(root: Path, text: str = DEPLOYMENT) -> Path:
    """endpoints/online/model-1 and a deployment beside it, as in azureml-examples."""
    for inside, content in (
        ("model-1/model/factor.txt", "1.5"), ("model-1/onlinescoring/score.py", SCORE),
        ("model-1/environment/conda.yaml", CONDA), ("managed/blue-deployment.yml", text),
        ("managed/endpoint.yml", "name: my-endpoint\nauth_mode: key\ntraffic: {blue: 100}\n"),
    ):  # fmt: skip
        (root / inside).parent.mkdir(parents=True, exist_ok=True)
        (root / inside).write_text(content)
    return root / "managed"


def first(root: Path, inference: Any = INFERENCE) -> Path:
    """inferenceconfig.json, deploymentconfig.json, source/ and model/, as `az ml model deploy` takes them."""
    for inside, content in (
        ("model/factor.txt", "1.5"), ("source/score.py", SCORE),
        ("inferenceconfig.json", json.dumps(inference)), ("deploymentconfig.json", json.dumps(SETTINGS)),
    ):  # fmt: skip
        (root / inside).parent.mkdir(parents=True, exist_ok=True)
        (root / inside).write_text(content)
    return root


def listed(package: Package, document: str) -> set[str]:
    """Keys that the package says are not applied."""
    start, end = f"{document}: ", " is not applied: "
    return {n.removeprefix(start).partition(end)[0] for n in package.manifest.notes if n.startswith(start) and end in n}


def body(tmp_path: Path) -> Path:
    path = tmp_path / "sample-request.json"
    path.write_text('{"data": [1, 2]}')
    return path


def answer(package: Package) -> Any:
    session = Session.open(package)
    try:
        assert isinstance(session.program, ScriptEngine) and len(replay(session)) == 1
        return json.loads(session.program.score(b'{"data": [10]}', "application/json").body)
    finally:
        session.close()


def test_a_v2_deployment(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(second(tmp_path), "factor", sample=body(tmp_path))
    manifest = package.manifest
    assert manifest.script is not None and manifest.script.models == "models"
    assert manifest.script.variables == {"BOOST": "2", "SERVICE_NAME": "factors", "WORKER_COUNT": "2"}
    assert manifest.script.timeout_s == 3
    assert manifest.settings == {"instances": 2, "max_wait_s": 0.25}
    assert manifest.environment.requirements == ("numpy",)
    assert {f.path for f in manifest.files} >= {"code/score.py", "models/model/factor.txt"}
    assert listed(package, "blue-deployment.yml") == {
        "name", "endpoint_name", "model.name", "environment.image", "instance_type", "instance_count",
        "liveness_probe", "data_collector", "surprise", "request_settings.max_concurrent_requests_per_instance",
    }  # fmt: skip
    assert answer(package) == [30.0]


def test_v1s_configuration(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(first(tmp_path), "factor", sample=body(tmp_path))
    manifest = package.manifest
    assert manifest.script is not None and manifest.script.timeout_s == 4
    assert manifest.script.variables == {"BOOST": "3"} and manifest.settings == {"max_wait_s": 0.5}
    assert manifest.environment.requirements == ("numpy",)
    assert any("without azureml-defaults==1.47.0" in n for n in manifest.notes)
    assert listed(package, "inferenceconfig.json") == {
        "environment.name", "environment.python.user_managed_dependencies", "environment.docker",
        "environment.inferencing_stack_version",
    }  # fmt: skip
    assert listed(package, "deploymentconfig.json") == {
        "compute_type",
        "auth_enabled",
        "container_resource_requirements",
        "gpu_cores",
    }
    assert answer(package) == [45.0]


def test_a_golden_sample_that_it_does_not_answer_is_caught(packaged: Packager, tmp_path: Path) -> None:
    """The broken twin: the same package with a model that is off by a little."""
    package = packaged(second(tmp_path), "factor", sample=body(tmp_path))
    (package.path / "models/model/factor.txt").write_text("1.501")
    with pytest.raises(VerificationFailed, match=r"golden/request\.bin"):
        answer(package)


def test_serving_takes_the_settings_that_the_package_carries(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(second(tmp_path), "factor", sample=body(tmp_path))
    (found,) = find_entries([str(package.path)])
    opened = open_version(found, resolve(ServeSettings, {"max_wait_s": "9"}, {}))
    try:
        assert opened.tuning.instances == 2 and opened.tuning.policy.max_wait_ns == 9_000_000_000, "a flag wins"
    finally:
        opened.session.close()


def test_a_triton_model_goes_to_its_own_source(packaged: Packager, tmp_path: Path) -> None:
    scorer(tmp_path / "models/net/1/model.onnx")
    (tmp_path / "model.yml").write_text("name: net\nversion: 1\ntype: triton_model\npath: ./models\n")
    package = packaged(tmp_path, "net")
    assert package.manifest.source is not None and package.manifest.source.framework == "triton"
    assert listed(package, "model.yml") == {"name", "version"}


def test_an_mlflow_model_goes_to_its_own_source(packaged: Packager, tmp_path: Path) -> None:
    scorer(tmp_path / "model/model.onnx")
    (tmp_path / "model/MLmodel").write_text("flavors:\n  onnx:\n    data: model.onnx\nmlflow_version: 2.9.0\n")
    (tmp_path / "deployment.yml").write_text("endpoint_name: e\nmodel: {path: ./model, type: mlflow_model}\n")
    package = packaged(tmp_path, "net")
    assert any("from the flavor onnx" in n for n in package.manifest.notes)
    assert listed(package, "deployment.yml") == {"endpoint_name"} and package.manifest.parity is not None


def test_a_custom_model_without_a_script_is_what_its_file_is(packaged: Packager, tmp_path: Path) -> None:
    scorer(tmp_path / "model/net.onnx")
    (tmp_path / "d.yml").write_text("endpoint_name: e\nmodel: {path: model, type: custom_model}\ninstance_count: 3\n")
    package = packaged(tmp_path / "d.yml", "net")
    assert package.manifest.engine == "onnx" and listed(package, "d.yml") == {"endpoint_name", "instance_count"}


@pytest.mark.parametrize(
    ("old", "new", "kind", "told"),
    [
        ("path: ../model-1/model/", "path: azureml:factor:1", Unsupported, "lies in a workspace, .*download it"),
        ("path: ../model-1/model/", "path: ../gone", BadArtefact, r"model\.path: .*gone: no such file"),
        ("score.py", "main.py", BadArtefact, r"scoring_script: .*main\.py: no such file"),
        ("  conda_file: ../model-1/environment/conda.yaml\n", "", Unsupported, "only an image says .*--env"),
        ("request_timeout_ms: 3000", "request_timeout_ms: soon", BadArtefact, "is 'soon', expected a number"),
        (
            "  BOOST: 2\n  SERVICE_NAME: factors\n  WORKER_COUNT: 2\n",
            "  - BOOST\n",
            BadArtefact,
            "expected names and values",
        ),
        ("  name: factor", "  type: onnx", BadArtefact, "model.type is 'onnx'"),
        ("request_timeout_ms: 3000", "request_timeout_ms: true", BadArtefact, "is True, expected a number"),
        ("WORKER_COUNT: 2", "WORKER_COUNT: many", BadArtefact, "environment_variables.WORKER_COUNT is 'many'"),
        ("BOOST: 2", "BOOST: {a: 1}", BadArtefact, "'BOOST' is no name with one value"),
        ("surprise: 1", "surprise: [", BadArtefact, r"deployment\.yml: line [0-9]+: not YAML"),
    ],
)
def test_what_cannot_be_packaged_says_why(
    packaged: Packager, tmp_path: Path, old: str, new: str, kind: type[Exception], told: str
) -> None:
    assert old in DEPLOYMENT
    with pytest.raises(kind, match=told) as caught:
        packaged(second(tmp_path, DEPLOYMENT.replace(old, new)), "factor")
    assert "\n" not in str(caught.value)


def test_two_deployments_are_told_apart_by_their_file(packaged: Packager, tmp_path: Path) -> None:
    folder = second(tmp_path)
    (folder / "green-deployment.yml").write_text(DEPLOYMENT.replace("BOOST: 2", "BOOST: 4"))
    with pytest.raises(UsageError, match=r"blue-deployment\.yml, green-deployment\.yml\): give the path of one"):
        packaged(folder, "factor")
    package = packaged(folder / "green-deployment.yml", "factor")
    assert package.manifest.script is not None and package.manifest.script.variables["BOOST"] == "4"


def test_batch_deployments_are_refused(packaged: Packager, tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("$schema: https://x/batchDeployment.schema.json\nname: b\nmini_batch_size: 10\n")
    with pytest.raises(Unsupported, match="batch deployments are not packaged yet"):
        packaged(tmp_path)


def test_processes_are_as_many_as_azures_server_has_workers(packaged: Packager, tmp_path: Path) -> None:
    """max_concurrent_requests_per_instance alone does not add any, there nor here."""
    alone = DEPLOYMENT.replace("  WORKER_COUNT: 2\n", "").replace("per_instance: 2", "per_instance: 100")
    manifest = packaged(second(tmp_path, alone), "factor").manifest
    assert "instances" not in manifest.settings
    note = "request_settings.max_concurrent_requests_per_instance is not applied: WORKER_COUNT says"
    assert any(note in n for n in manifest.notes)
    many = DEPLOYMENT.replace("WORKER_COUNT: 2", "WORKER_COUNT: 100\n  AZUREML_MODEL_DIR: /var/x\n  EMPTY:")
    manifest = packaged(second(tmp_path / "many", many), "many").manifest
    assert manifest.settings["instances"] == 64 and manifest.script is not None
    assert manifest.script.variables["EMPTY"] == "", "and not None"
    assert any("WORKER_COUNT is more than 64" in n for n in manifest.notes)
    assert any("environment_variables.AZUREML_MODEL_DIR is not applied" in n for n in manifest.notes)


def test_an_environment_of_its_own_file_is_read_and_its_keys_are_listed(packaged: Packager, tmp_path: Path) -> None:
    inline = "environment:\n  conda_file: ../model-1/environment/conda.yaml\n  image: "
    start, _, rest = DEPLOYMENT.partition(inline)
    apart = f"{start}environment: file:../model-1/environment/env.yml\n{rest.partition(chr(10))[2]}"
    folder = second(tmp_path, apart)
    (tmp_path / "model-1/environment/env.yml").write_text("name: e\nconda_file: conda.yaml\nimage: x\nfuture: 1\n")
    package = packaged(folder, "factor", sample=body(tmp_path))
    assert package.manifest.environment.requirements == ("numpy",)
    assert listed(package, "env.yml") == {"name", "image", "future"}


def test_a_registered_environment_of_v1_is_not_taken_for_none(packaged: Packager, tmp_path: Path) -> None:
    for said in ("AzureML-sklearn-1.0", {"name": "AzureML-sklearn-1.0", "version": "1"}):
        place = first(tmp_path, {**INFERENCE, "environment": said})
        with pytest.raises(Unsupported, match=r"environment 'AzureML-sklearn-1.0' lies in a workspace.*--env"):
            packaged(place, "factor")
    assert packaged(place, "factor", env="current").manifest.environment.kind == "current"


@pytest.mark.parametrize(
    ("model", "files", "told"),
    [
        ("{path: ., type: custom_model}", ("a.onnx", "b.onnx"), r"holds a deployment; name the model's own file"),
        ("{path: sub, type: custom_model}", ("sub/d.yml", "sub/x", "sub/y"), "holds a deployment"),
        ("{path: a.onnx, type: triton_model}", ("a.onnx",), "is triton_model, but .* is no directory"),
        ("{path: sub, type: mlflow_model}", ("sub/a.onnx",), "is mlflow_model, but there is no MLmodel in"),
        (f"{{path: {'x' * 5000}}}", (), "model.path: .*no such file"),
    ],
)
def test_a_model_that_leads_nowhere(
    packaged: Packager, tmp_path: Path, model: str, files: tuple[str, ...], told: str
) -> None:
    text = f"endpoint_name: e\nmodel: {model}\n"
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            "endpoint_name: e\nmodel: {path: .., type: custom_model}\n" if "d.yml" in name else ""
        )
    (tmp_path / "deployment.yml").write_text(text)
    with pytest.raises(BadArtefact, match=told) as e:
        packaged(tmp_path, "m")
    assert len(e.value.message) < 1000


def test_a_model_beside_its_deployment_is_found(packaged: Packager, tmp_path: Path) -> None:
    scorer(tmp_path / "net.onnx")
    (tmp_path / "d.yml").write_text("endpoint_name: e\nmodel: {path: ., type: custom_model}\n")
    assert packaged(tmp_path, "net").manifest.engine == "onnx"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: e\nauth_mode: key\n", "describes an endpoint"),
        ("computeType: aks\n", "describes hosts"),
        ("$schema: https://x/environment.schema.json\nconda_file: c.yml\n", "describes an environment"),
    ],
)
def test_a_document_that_deploys_nothing_says_what_does(
    packaged: Packager, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "d.yml").write_text(text)
    with pytest.raises(UsageError, match=rf"{told}; give the path of a deployment"):
        packaged(tmp_path / "d.yml")
