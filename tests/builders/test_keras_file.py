"""What a Keras file would run is found before Keras reads it. Configurations are as Keras 3.15 writes them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.keras_file import check_keras, trusts_code
from gantline.builders.source import Source

from gantline.errors import BadArtefact


def layer(
    kind: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any
) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": kind.lower(), **config},
        "registered_name": registered,
    }


def file(tmp_path: Path, *layers: dict[str, Any]) -> Path:
    model = {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}}
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(model))
    return path


def refused(path: Path, **told: Any) -> str:
    with pytest.raises(BadArtefact) as caught:
        check_keras(path, Source("m", path=path, **told))
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    return caught.value.message


def test_keras_own_layers_pass(tmp_path: Path) -> None:
    relu = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}
    path = file(tmp_path, layer("Dense", activation=relu), layer("Conv2D", registered=None))
    check_keras(path, Source("m", path=path))


def test_a_lambda_needs_trust(tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAA==", "defaults": None, "closure": None}}
    path = file(tmp_path, layer("Dense"), layer("Lambda", function=code))
    assert "holds a Lambda layer ('lambda'), which is Python code" in refused(path)
    check_keras(path, Source("m", path=path, trust=("Lambda",)))
    hidden = file(tmp_path, layer("TimeDistributed", layer=layer("Dense", activation=code)))
    assert "--trust Lambda" in refused(hidden)


@pytest.mark.parametrize(
    ("kind", "said"), [("TorchModuleWrapper", "a pickle of torch's"), ("TFSMLayer", "from elsewhere on the disk")]
)
def test_layers_that_bring_other_things_along_need_trust_of_their_own(tmp_path: Path, kind: str, said: str) -> None:
    path = file(tmp_path, layer("Dense"), layer(kind, module="keras.src.somewhere"))
    assert said in refused(path) and f"--trust {kind}" in refused(path, trust=("Lambda",))
    check_keras(path, Source("m", path=path, trust=(kind,)))
    assert trusts_code(Source("m", trust=(kind,))) and not trusts_code(Source("m", trust=("numpy.savetxt",)))


@pytest.mark.parametrize("module", ["keras.utils", "keras.config", "keras.src.saving.serialization_lib"])
def test_what_is_keras_and_no_part_of_a_model(tmp_path: Path, module: str) -> None:
    fetch = {"module": module, "class_name": "function", "config": "get_file", "registered_name": "get_file"}
    path = file(tmp_path, layer("Dense", activation=fetch))
    assert f"holds function ('get_file') of {module}, which is no part of a model" in refused(path)


@pytest.mark.parametrize(
    ("module", "registered", "said"),
    [("shop.layers", "Scale", "--module shop.layers:Scale"), (None, "shop>Scale", "--module shop:Scale"),
     ("__main__", None, "--module pkg.mod:Scale"), ("os", None, "not Keras's own"),
     ("kerasx.layers", None, "not Keras's own")],
)  # fmt: skip
def test_other_peoples_classes_need_a_module(
    tmp_path: Path, module: str | None, registered: str | None, said: str
) -> None:
    path = file(tmp_path, layer("Scale", module, registered))
    assert said in refused(path)
    check_keras(path, Source("m", path=path, module="somewhere:Scale"))
    assert said in refused(path, module="somewhere:Other")


def test_a_function_of_another_module_is_no_activation(tmp_path: Path) -> None:
    system = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    assert "holds function ('system')" in refused(file(tmp_path, layer("Dense", activation=system)))
    disguised = {"module": "builtins", "class_name": "eval", "config": {}, "registered_name": "eval"}
    assert "holds eval" in refused(file(tmp_path, layer("Dense", activation=disguised)))


def test_what_is_no_keras_file(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(b"nothing of the kind")
    assert "expected a .keras file" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "")
    assert "a zip archive without config.json" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{")
    assert "or damaged" in refused(path)
