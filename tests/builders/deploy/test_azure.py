"""Azure's YAML: what it says is done, or listed with a reason; nothing is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.azure_documents import Document, read_documents
from gantline.builders.deploy.azure import read
from gantline.builders.deploy.description import Endpoint, ImageName, Instances, Probe, Resources, SecretKey, Site

from gantline.errors import BadArtefact, UsageError

_NONE = Site()
ENDPOINT = """
$schema: https://azuremlschemas.azureedge.net/latest/kubernetesOnlineEndpoint.schema.json
name: credit
compute: azureml:cluster
auth_mode: key
traffic: {blue: 90, green: 10}
mirror_traffic: {green: 5}
tags: {team: a}
"""
BLUE = """
$schema: https://azuremlschemas.azureedge.net/latest/kubernetesOnlineDeployment.schema.json
type: kubernetes
name: blue
endpoint_name: credit
model: {path: ./model}
code_configuration: {code: ., scoring_script: score.py}
environment: {conda_file: conda.yml, image: mcr.example/x}
environment_variables: {LEVEL: 2, SECRET: "${{azureml://connections/a/credentials/b}}"}
instance_type: defaultinstancetype
request_settings: {request_timeout_ms: 1500, max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 500}
liveness_probe: {initial_delay: 30, period: 20, timeout: 3, failure_threshold: 4, success_threshold: 1}
scale_settings: {type: target_utilization, min_instances: 2, max_instances: 4, target_utilization_percentage: 60,
  polling_interval: 10}
resources:
  requests: {cpu: "0.1", memory: 0.5Gi}
  limits: {cpu: "1", memory: 1Gi, nvidia.com/gpu: "1"}
readiness_probe: {path: /ready}
app_insights_enabled: true
surprise: 1
"""
GREEN = "name: green\nendpoint_name: credit\nmodel: azureml:m:1\ninstance_count: 3\n"


def documents(folder: Path, *texts: str) -> list[Document]:
    found = []
    for n, text in enumerate(texts):
        path = folder / f"{n}.yml"
        path.write_text(text)
        found += [d for d in read_documents(path) if d.path == path]
    assert len(found) == len(texts)
    return found


def told(
    folder: Path, *texts: str, keys: SecretKey | None = None, site: Site = _NONE
) -> tuple[Endpoint, tuple[str, ...]]:
    return read(documents(folder, *texts), lambda name, said: ImageName(f"r.example/{name}"), keys, site)


def test_what_is_said_is_done(tmp_path: Path) -> None:
    endpoint, _ = told(tmp_path, ENDPOINT, BLUE, GREEN)
    blue, green = endpoint.deployments
    assert (endpoint.name, blue.traffic, green.traffic) == ("credit", 90, 10)
    assert blue.image.name == "r.example/blue"
    assert blue.instances == Instances(2, 4, 60) and green.instances == Instances(3, 3)
    assert blue.resources == Resources("0.1", "0.5Gi", "1", "1Gi", 1)
    assert blue.probes.liveness == Probe(30, 20, 3, 4, 1)
    assert blue.environment == {"LEVEL": "2", "GANTLINE_REQUEST_TIMEOUT_S": "1.5", "GANTLINE_MAX_WAIT_S": "0.5"}
    assert blue.egress is True, "as in Azure, unless it is disabled"


def test_what_is_not_done_is_listed(tmp_path: Path) -> None:
    _, notes = told(tmp_path, ENDPOINT, BLUE, GREEN)
    keys = [note.partition(" is not applied: ")[0] for note in notes]
    assert sorted(keys) == sorted((
        "0.yml: compute", "0.yml: auth_mode", "0.yml: mirror_traffic", "0.yml: tags", "1.yml: model",
        "1.yml: code_configuration", "1.yml: environment", "1.yml: environment_variables.SECRET",
        "1.yml: instance_type",
        "1.yml: request_settings.max_concurrent_requests_per_instance", "1.yml: scale_settings.polling_interval",
        "1.yml: app_insights_enabled", "1.yml: readiness_probe.path", "1.yml: surprise", "2.yml: model",
    ))  # fmt: skip
    assert all(note.partition(" is not applied: ")[2] for note in notes)


def test_words_in_any_case(tmp_path: Path) -> None:
    """Azure takes `targetUtilization` and `Disabled`; a word that it does not take is an error."""
    blue = BLUE.replace("type: target_utilization", "type: TargetUtilization")
    endpoint, _ = told(tmp_path, f"{blue}egress_public_network_access: Disabled\n")
    assert endpoint.deployments[0].instances == Instances(2, 4, 60) and endpoint.deployments[0].egress is False
    with pytest.raises(UsageError, match="egress_public_network_access: expected one of enabled, disabled, found 'no'"):
        told(tmp_path, f"{BLUE}egress_public_network_access: 'no'\n")
    with pytest.raises(UsageError, match="type: expected one of default, target_utilization"):
        told(tmp_path, BLUE.replace("type: target_utilization", "type: by_load"))


def test_names_keep_their_spelling(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="deployment 'myBlue': expected at most 63 lower-case letters"):
        told(tmp_path, ENDPOINT.replace("{blue: 90, green: 10}", "{myBlue: 100}"), BLUE.replace("blue", "myBlue"))


def test_one_way_of_scaling(tmp_path: Path) -> None:
    _, notes = told(tmp_path, f"{BLUE}instance_count: 3\n")
    assert any("instance_count is not applied: scale_settings.type is target_utilization" in n for n in notes)
    endpoint, notes = told(tmp_path, f"{BLUE}instance_count: 3\n".replace("type: target_utilization", "type: default"))
    assert endpoint.deployments[0].instances == Instances(3, 3)
    left = [n.partition(" is not")[0] for n in notes if "type is not target_utilization" in n]
    names = ("min_instances", "max_instances", "target_utilization_percentage")
    assert left == [f"0.yml: scale_settings.{name}" for name in names]


def test_what_azures_server_is_told_by_variables(tmp_path: Path) -> None:
    said = "{WORKER_COUNT: 3, WORKER_TIMEOUT: 9, AZUREML_MODEL_DIR: /x, SCORING_TIMEOUT_MS: 90, OWN: 1}"
    endpoint, notes = told(tmp_path, f"{GREEN}environment_variables: {said}\n")
    assert endpoint.deployments[0].environment == {"GANTLINE_INSTANCES": "3", "SCORING_TIMEOUT_MS": "90", "OWN": "1"}
    left = [note.partition(" is not")[0] for note in notes if "environment_variables" in note]
    assert left == ["0.yml: environment_variables.WORKER_TIMEOUT", "0.yml: environment_variables.AZUREML_MODEL_DIR"]
    with pytest.raises(UsageError, match="WORKER_COUNT: expected a whole number from 1 to 64, found 'many'"):
        told(tmp_path, f"{GREEN}environment_variables: {{WORKER_COUNT: many}}\n")


def test_limits_alone(tmp_path: Path) -> None:
    endpoint, _ = told(tmp_path, f"{GREEN}resources: {{limits: {{cpu: 200m, memory: 256Mi, nvidia.com/gpu: 1}}}}\n")
    assert endpoint.deployments[0].resources == Resources("200m", "256Mi", "200m", "256Mi", 1)
    both = "{limits: {nvidia.com/gpu: 1}, requests: {nvidia.com/gpu: 2}}"
    with pytest.raises(UsageError, match=r"nvidia.com/gpu: as many are given as are asked for"):
        told(tmp_path, f"{GREEN}resources: {both}\n")


def test_keys_are_a_secret_of_the_platform(tmp_path: Path) -> None:
    site = Site("prod", "registry")
    endpoint, notes = told(tmp_path, ENDPOINT, BLUE, GREEN, keys=SecretKey("gate", "keys.toml"), site=site)
    assert endpoint.site == site
    assert all(d.keys for d in endpoint.deployments) and not any("auth_mode" in note for note in notes)


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'green' gets 10 %; give the YAML of that deployment, too"):
        told(tmp_path, ENDPOINT, BLUE)
    with pytest.raises(UsageError, match="2 deployments, and no endpoint says their traffic"):
        told(tmp_path, BLUE, GREEN)
    with pytest.raises(UsageError, match="no deployment; give its YAML, too"):
        told(tmp_path, ENDPOINT)
    with pytest.raises(UsageError, match="these name credit, debit"):
        told(tmp_path, ENDPOINT, BLUE, GREEN.replace("credit", "debit"))


def test_as_little_as_azure_asks_for(tmp_path: Path) -> None:
    """Neither `$schema`, nor a model that may be in the image, nor how requests are let in."""
    endpoint, notes = told(tmp_path, "name: credit\ntraffic: {blue: 100}\n", "name: blue\nendpoint_name: credit\n")
    assert (endpoint.name, endpoint.deployments[0].traffic, notes) == ("credit", 100, ())


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"0.yml: line 21: 'instance_type' is there twice"):
        told(tmp_path, f"{BLUE.rstrip()}\ninstance_type: other\n")
