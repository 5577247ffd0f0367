"""Stand-ins are found last, and hold what scripts import. In a process without Azure's packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gantline.accelerators.script import link
from gantline.accelerators.script.shims import Finder

PROGRAM = """
import importlib.util as u, sys
folder = sys.argv[1]
spec = u.spec_from_file_location("gantline_script_host", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules[spec.name] = u.module_from_spec(spec)
from gantline_script_host import shims
shims.install()
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("werkzeug", "flask"):
            raise ImportError(name)
sys.meta_path.insert(0, Without())
sys.path[:] = [p for p in sys.path if "site-packages" not in p]
import azureml.core, azureml.core.model, inference_schema.schema_util
from azureml.core import Model
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from azureml_inference_server_http.api.aml_response import AMLResponse as Same
from azureml.monitoring import ModelDataCollector
from azureml.ai.monitoring import Collector
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as P
assert Model is azureml.core.model.Model and AMLResponse is Same
import azureml.contrib.services.aml_request as module
assert module._rawHttpRequested is False
rawhttp(len)
assert module._rawHttpRequested is True
answer = AMLResponse({"a": 1}, 201, {"X-Two": "a, b"}, json_str=True)
assert answer.get_data() == b'{"a": 1}' and answer.status_code == 201
assert list(answer.headers.items()) == [
    ("Content-Type", "application/json"), ("x-ms-run-function-failed", "False"), ("X-Two", "a"), ("X-Two", "b")
], list(answer.headers.items())
assert AMLResponse("x", 200).headers["Content-Type"] == "text/html; charset=utf-8"
@input_schema("a", P(1))
@output_schema(P("x"))
def run(a): return a
assert inference_schema.schema_util.is_schema_decorated(run) and run(a=3) == 3
try:
    azureml.core.Workspace
except AttributeError as e:
    assert "install azureml-core" in str(e)
try:
    import azureml.train
except ModuleNotFoundError:
    print("all")
"""


def test_everything_that_scripts_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, link.FOLDER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("all\n", "")


def test_an_installed_package_wins() -> None:
    import inference_schema.schema_util as real

    assert "site-packages" in (real.__file__ or "")
    assert Finder().find_spec("inference_schema", None) is not None
    assert Finder().find_spec("azureml.train", None) is None


def test_the_host_imports_nothing_of_ours_or_heavy(tmp_path: Path) -> None:
    program = """
import importlib.util as u, sys
folder = sys.argv[1]
spec = u.spec_from_file_location("gantline_script_host", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules[spec.name] = u.module_from_spec(spec)
import gantline_script_host.host, gantline_script_host.batch
unwanted = {"gantline", "numpy", "orjson", "asyncio", "starlette", "pandas"}
print(*sorted(unwanted & {m.partition(".")[0] for m in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program, link.FOLDER], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
