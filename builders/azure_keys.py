"""AzureKeys: what an Azure document says that a package does not act on, key by key, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# document kind -> keys that are acted on (a dot leads inside)
USED: dict[str, frozenset[str]] = {
    "inference": frozenset((
        "entry_script", "source_directory", "conda_file", "environment.environment_variables",
        "environment.python.conda_dependencies", "environment.python.conda_dependencies_file",
    )),
    "settings": frozenset(("scoring_timeout_ms", "max_concurrent_requests_per_container", "max_queue_wait_ms")),
    "deployment": frozenset((
        "model.path", "model.type", "code_configuration.code", "code_configuration.scoring_script",
        "environment.conda_file", "environment_variables", "request_settings.request_timeout_ms",
        "request_settings.max_concurrent_requests_per_instance", "request_settings.max_queue_wait_ms",
    )),
    "model": frozenset(("path", "type")),
    "environment": frozenset(("conda_file",)),
}  # fmt: skip
_WHERE = "it says where to run, not what; give it to whoever runs the package"
_IMAGE = "no container is built from it; the environment is made by pip from the conda file"
_PROBE = "probe GET /v2/health/live and /v2/health/ready"
_WORDS = "it describes; --label keeps a human's name for the version"
_SERVER = "a setting of the server: see gantline serve --help"
# the longest key that begins one that is not acted on -> why
_WHY: dict[str, str] = {
    "$schema": "",  # says which document it is
    "name": "the package's name is --name",
    "model.name": "the package's name is --name",
    "endpoint_name": "the package's name is --name",
    "version": "versions are given where packages are kept",
    "model.version": "versions are given where packages are kept",
    "environment.name": _WORDS,
    "environment.version": _WORDS,
    "description": _WORDS,
    "model.description": _WORDS,
    "environment.description": _WORDS,
    "tags": _WORDS,
    "properties": _WORDS,
    "stage": _WORDS,
    "flavors": "the model's own folder says them",
    "type": "online deployments are the only ones that are packaged",
    "model_mount_path": "AZUREML_MODEL_DIR says where the model is",
    "instance_type": _WHERE,
    "instance_count": _WHERE,
    "scale_settings": _WHERE,
    "auto_scaler": _WHERE,
    "num_replicas": _WHERE,
    "compute_type": _WHERE,
    "compute_target_name": _WHERE,
    "container_resource_requirements": _WHERE,
    "resources": _WHERE,
    "namespace": _WHERE,
    "location": _WHERE,
    "vnet_name": _WHERE,
    "subnet_name": _WHERE,
    "dns_name_label": _WHERE,
    "egress_public_network_access": _WHERE,
    "private_network_connection": _WHERE,
    "port": f"{_SERVER} (--http-port)",
    "auth_enabled": f"{_SERVER} (--keys)",
    "token_auth_enabled": f"{_SERVER} (--keys)",
    "primary_key": "secrets are not put into packages; see gantline keys",
    "secondary_key": "secrets are not put into packages; see gantline keys",
    "ssl": f"{_SERVER} (--tls-certificate, --tls-key)",
    "cname": f"{_SERVER} (--tls-certificate, --tls-key)",
    "liveness_probe": _PROBE,
    "readiness_probe": _PROBE,
    "startup_probe": _PROBE,
    "app_insights_enabled": "metrics are at /metrics, traces by /v2/trace/setting",
    "data_collector": "collect in the script (azureml.ai.monitoring's Collector writes where GANTLINE_MODEL_DATA says)",
    "data_collection": "collect in the script (azureml.monitoring writes where GANTLINE_MODEL_DATA says)",
    "environment.image": _IMAGE,
    "environment.build": _IMAGE,
    "environment.docker": _IMAGE,
    "environment.inferencing_stack_version": "Gantline itself serves the script",
    "environment.inference_config": "Gantline has routes of its own: /score, /v2/health/live and /v2/health/ready",
    "environment.spark": "Spark is not started for a scoring script",
    "environment.databricks": "it concerns Databricks",
    "environment.python": "the environment is made by pip from the conda dependencies",
    "environment.os_type": "the script runs on the system that serves",
    "environment.resources": _WHERE,
    "image": _IMAGE,
    "build": _IMAGE,
    "inference_config": "Gantline has routes of its own: /score, /v2/health/live and /v2/health/ready",
    "os_type": "the script runs on the system that serves",
    "runtime": "the script is Python; the conda file says which",
    "extra_docker_file_steps": _IMAGE,
    "extra_dockerfile_steps": _IMAGE,
    "gpu_cores": _WHERE,
    "enable_gpu": "the script finds a GPU where there is one",
    "base_image": _IMAGE,
    "cuda_version": _IMAGE,
}


def not_applied(kind: str, tree: Mapping[str, Any], name: str) -> Iterator[str]:
    """One line for each key that is set and not acted on. `name`: the document's, for the reader."""
    for key in leaves(tree, USED.get(kind, frozenset()), ""):
        known = [start for start in _WHY if key == start or key.startswith((f"{start}.", f"{start}_"))]
        why = _WHY[max(known, key=len)] if known else "Gantline does not know it"
        if why:
            yield f"{name}: {key:.100} is not applied: {why}"


def leaves(tree: Mapping[str, Any], used: frozenset[str], above: str) -> Iterator[str]:
    """Keys in full that are not used; one that has used ones inside is looked into."""
    for key, value in tree.items():
        full = f"{above}{key}"
        if full in used or value is None:
            continue
        if isinstance(value, Mapping) and any(u.startswith(f"{full}.") for u in used):
            yield from leaves(value, used, f"{full}.")
        elif not (isinstance(value, str) and any(u.startswith(f"{full}.") for u in used)):
            yield full
