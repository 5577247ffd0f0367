"""What a container starts with."""

from __future__ import annotations

from dataclasses import replace

from gantline.builders.image.base import Base
from gantline.builders.image.settings import image_config, misleading

from gantline import __version__
from gantline.manifest import Manifest


def test_the_config(base: Base) -> None:
    base = replace(base, settings={"Env": ["PATH=/bin", "HOME=/root"], "Labels": {"a": "b"}, "Cmd": ["bash"]})
    manifest = Manifest("iris", "onnx", "model.onnx")
    made = image_config(base, manifest, "opt/m/iris", ("sha256:1",), ("base",), "1970-01-01T00:00:00Z", "opt/x")
    config = made["config"]
    assert (made["os"], made["architecture"]) == ("linux", "amd64")
    assert made["rootfs"] == {"type": "layers", "diff_ids": ["sha256:1"]}
    assert "PATH=/bin" in config["Env"] and "HOME=/root" not in config["Env"] and "HOME=/tmp" in config["Env"]
    assert config["User"] == "65532:65532" and config["Cmd"] == ["/opt/m/iris"]
    assert config["Entrypoint"][0] == "/opt/gantline/env/bin/python"
    assert "GANTLINE_SCRIPT_PYTHON=/opt/x/bin/python" in config["Env"]
    assert config["Healthcheck"]["Test"][0] == "CMD", "no shell is needed"
    assert config["Labels"]["a"] == "b" and config["Labels"]["dev.gantline.package.digest"] == manifest.digest
    assert config["Labels"]["dev.gantline.version"] == __version__
    assert "org.opencontainers.image.base.digest" not in config["Labels"], "a tar has none"
    labels = image_config(replace(base, digest="sha256:2"), manifest, "m", (), (), "", "x")["config"]["Labels"]
    assert labels["org.opencontainers.image.base.digest"] == "sha256:2"
    assert {"8000/tcp", "8001/tcp"} == set(config["ExposedPorts"])


def test_variables_of_a_base_that_mislead_its_python_stay_behind(base: Base) -> None:
    """With PYTHONHOME no environment is found, with PYTHONPATH another numpy; PYTHONWARNINGS=error ends it at once."""
    given = [
        "PYTHONHOME=/usr",
        "PYTHONPATH=/app",
        "PYTHONWARNINGS=error",
        "PYTHON_VERSION=3.11.9",
        "LD_LIBRARY_PATH=/x",
    ]
    base = replace(base, settings={"Env": given})
    env = image_config(base, Manifest("iris", "onnx", "model.onnx"), "m", (), (), "", "x")["config"]["Env"]
    assert given[3] in env and given[4] in env and not {*given[:3]} & {*env}
    assert misleading(given) == ["PYTHONHOME", "PYTHONPATH", "PYTHONWARNINGS"]
