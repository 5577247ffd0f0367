"""The python backend's model.py behind a generated script, which is to it what Triton's stub process is.

The package holds the version's directory as it is, with config.pbtxt where `args["model_repository"]` promises it; the
host lends `triton_python_backend_utils` (accelerators/script/shim_triton.py). Models that call others, or that ask for
what a process of one model does not have, are refused.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from gantline.accelerators.script.request_file import read_request
from gantline.accelerators.triton.model_config import CONFIG, ModelConfig, TensorConfig, plain

from gantline.errors import BadArtefact, Unsupported
from gantline.manifest import ConfigInfo, EnvironmentRequest, ScriptInfo
from gantline.signature import Signature, TensorSpec

from .from_script import REQUESTS, is_pickle, walk
from .golden import satisfied
from .source import Conversion, Source
from .triton_entry import INSIDE, TritonEntry

ENTRY = "score.py"
UTILS = "triton_python_backend_utils"
CLASS = "TritonPythonModel"
PACKED = "EXECUTION_ENV_PATH"  # a parameter that names an archive of conda-pack
# what a request tells, and tells nothing of here
_EMPTY = {
    "request_id": "always empty", "parameters": "always empty", "correlation_id": "always 0", "flags": "always 0",
    "timeout": "always 0",
}  # fmt: skip
# what of UTILS is not lent -> why, and what to do
_REFUSED = {
    "InferenceRequest": "calls other models; package each by itself and call them from a scoring script",
    "load_model": "loads other models; package each by itself",
    "unload_model": "unloads other models; package each by itself",
    "MetricFamily": "keeps metrics of its own, which would be lost; write them to the log",
    "PreferredMemory": "chooses GPU memory",
}


def behind_script(entry: TritonEntry, source: Source, work: Path) -> Conversion:
    """The model behind a script. Unsupported names the line that asks for what is not here, and what to do."""
    config = entry.config
    if config is None or not config.inputs or not config.outputs:
        raise BadArtefact(
            f"{entry.folder}: the python backend needs config.pbtxt with its inputs and outputs; where Triton "
            "completes it, take what it answers at GET /v2/models/NAME/config"
        )
    if config.sequences is not None:
        raise Unsupported(f"{config.path}: sequence_batching is not supported for the python backend")
    told = _check(entry.file)
    script = work / ENTRY
    script.write_text(script_text(entry, config, source.name), "utf-8")
    repository = f"code/{entry.folder.name}"
    found = {f"code/{ENTRY}": script, f"{repository}/{CONFIG}": config.path, **entry.files()}
    version = entry.folder / str(entry.version)
    found |= {f"{repository}/{entry.version}/{inside}": path for inside, path in walk(version, None, entry.folder)}
    found |= {f"{repository}/{inside}": path for inside, path in _beside(entry.folder)}
    pickles = tuple(sorted(inside for inside, path in found.items() if is_pickle(path)))
    environment, notes = _environment(entry, config, source)
    if pickles:
        notes = (*notes, f"may unpickle {', '.join(pickles[:4])}: `serve --no-pickle` refuses it")
    decoupled = bool(config.message.model_transaction_policy.decoupled)
    signature = Signature(_specs(config, config.inputs), _specs(config, config.outputs))
    return Conversion(
        engine="script",
        framework="triton",
        type="python",
        files=found,
        reason="a model.py of the python backend is run as it is, in a process of its own",
        notes=(*notes, *told, *entry.notes),
        max_batch_size=config.max_batch_size,
        elsewhere=not satisfied(environment),
        manifest={
            "script": ScriptInfo(ENTRY, "code", contract="tensors", decoupled=decoupled, pickles=pickles),
            "environment": environment,
            "config": ConfigInfo(f"{INSIDE}/{CONFIG}", signature),
        },
    )


def script_text(entry: TritonEntry, config: ModelConfig, name: str) -> str:
    """The script that loads model.py, gives it requests and takes its answers."""
    decoupled = bool(config.message.model_transaction_policy.decoupled)
    facts = {
        "NAME": config.name or name,
        "REPOSITORY": entry.folder.name,
        "VERSION": str(entry.version),
        "FILE": entry.file.relative_to(entry.folder / str(entry.version)).as_posix(),
        "OUTPUTS": [t.name for t in config.outputs],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in facts.items()]
    lines.append(f"CONFIG = json.loads({json.dumps(json.dumps(plain(config.message)))})")
    return _TEMPLATE.replace("# FACTS\n", "\n".join(lines) + "\n") + (_DECOUPLED if decoupled else _PLAIN)


def _specs(config: ModelConfig, tensors: tuple[TensorConfig, ...]) -> tuple[TensorSpec, ...]:
    """What the program takes or gives: the reshape where there is one."""
    batch = (-1,) if config.max_batch_size else ()
    out = []
    for t in tensors:
        if not t.datatype:
            raise BadArtefact(f"{config.path}: '{t.name}' has no data_type, which the python backend needs")
        out.append(TensorSpec(t.name, t.datatype, batch + (t.dims if t.reshape is None else t.reshape), t.optional))
    return tuple(out)


def _check(path: Path) -> tuple[str, ...]:
    """That model.py parses, defines the class, and asks for nothing that is not lent; it is not run.

    The notes say what it asks for and does not get.
    """
    notes: list[str] = []
    for file in sorted(path.parent.rglob("*.py")):
        try:
            tree = ast.parse(file.read_bytes(), str(file))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
            raise BadArtefact(f"{file} line {getattr(e, 'lineno', None) or 1}: not Python: {e}") from e
        if file == path:
            found = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == CLASS), None)
            imported = any(isinstance(n, ast.ImportFrom) and CLASS in {a.name for a in n.names} for n in tree.body)
            if found is None and not imported:
                raise BadArtefact(f"{file}: no class {CLASS}, which the python backend makes an instance of")
        for line, name in _uses(tree):
            if name in _REFUSED:
                raise Unsupported(f"{file} line {line}: {UTILS}.{name}: the model {_REFUSED[name]}")
        notes += [f"{file.name} line {line}: {what}" for line, what in _not_given(tree)]
    return tuple(notes)


def _not_given(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module asks for what Triton would tell it and nobody does here; by the names that are usual."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "auto_complete_config":
            yield node.lineno, f"{node.name}() is not called: {CONFIG} is taken as it is"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _EMPTY:
            asked = node.func.value
            if isinstance(asked, ast.Name) and asked.id.lower().startswith(("req", "inference_req")):
                yield (
                    node.lineno,
                    f"{asked.id}.{node.func.attr}() is {_EMPTY[node.func.attr]}: it does not reach model.py",
                )


def _uses(tree: ast.Module) -> list[tuple[int, str]]:
    """What a module takes from UTILS, under whatever name it imports it: (line, attribute)."""
    aliases, out = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname or a.name for a in node.names if a.name == UTILS}
        elif isinstance(node, ast.ImportFrom) and node.module == UTILS:
            out += [(node.lineno, a.name) for a in node.names]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            out.append((node.lineno, node.attr))
    return sorted(out)


def _beside(folder: Path) -> list[tuple[str, Path]]:
    """What lies beside the versions, which a model may open through `args["model_repository"]`."""
    versions = {str(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit()}
    return [(inside, path) for inside, path in walk(folder, None) if inside.split("/")[0] not in versions]


def _environment(entry: TritonEntry, config: ModelConfig, source: Source) -> tuple[EnvironmentRequest, tuple[str, ...]]:
    if source.environment is not None:
        return read_request(source.environment), ()
    if PACKED in config.message.parameters:
        raise Unsupported(
            f"{config.path}: parameter {PACKED} names a packed conda environment, which cannot be carried; "
            "say what is in it: --env requirements.txt"
        )
    for place in (entry.file.parent, entry.folder):
        for name in REQUESTS:
            if (place / name).is_file():
                return read_request(place / name), (f"environment: from {name} in the entry",)
    return EnvironmentRequest(), ("environment: the interpreter that serves; --env FILE gives it one of its own",)


_TEMPLATE = '''"""Written by gantline package: a model of Triton's python backend as tensors in, tensors out."""

import atexit
import importlib.util
import json
import os
import queue
import sys
import threading

import triton_python_backend_utils as pb_utils

# FACTS
model = None
turn = threading.Lock()  # execute() is never called twice at once, as in Triton


def init():
    global model
    repository = os.path.join(os.path.dirname(os.path.abspath(__file__)), REPOSITORY)
    folder = os.path.join(repository, VERSION)
    sys.path += [folder, repository]  # as the stub does
    spec = importlib.util.spec_from_file_location("model", os.path.join(folder, FILE))
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    if hasattr(model, "initialize"):
        model.initialize({
            "model_config": json.dumps(CONFIG),
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
            "model_instance_name": NAME + "_0",
            "model_repository": repository,
            "model_version": VERSION,
            "model_name": NAME,
        })
    if hasattr(model, "finalize"):
        atexit.register(model.finalize)


def answered(response):
    if response.has_error():
        raise RuntimeError(response.error().message())
    return {t.name(): t.as_numpy() for t in response.output_tensors()}
'''

_PLAIN = """

def infer(inputs):
    tensors = [pb_utils.Tensor(name, array) for name, array in inputs.items()]
    with turn:
        responses = model.execute([pb_utils.InferenceRequest(tensors, OUTPUTS)])
    if not isinstance(responses, list) or len(responses) != 1:
        raise RuntimeError("execute() must return a list with one InferenceResponse for each request")
    return answered(responses[0])
"""

_DECOUPLED = """

AHEAD = 16  # answers that may wait to be taken


def infer(inputs):
    answers, gone = queue.Queue(AHEAD), threading.Event()

    def put(item):
        while not gone.is_set():
            try:
                return answers.put(item, timeout=0.1)
            except queue.Full:
                continue  # until somebody takes one, or nobody will

    def send(response, flags):
        if response is not None:
            put(response)
        if flags & pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            put(None)

    def execute():
        try:
            with turn:
                if model.execute([request]) is not None:
                    raise RuntimeError("execute() of a decoupled model answers by its response sender and returns None")
        except BaseException as e:
            put(e)

    tensors = [pb_utils.Tensor(name, array) for name, array in inputs.items()]
    request = pb_utils.InferenceRequest(tensors, OUTPUTS, send, gone.is_set)
    threading.Thread(target=execute, daemon=True).start()
    try:
        while (item := answers.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield answered(item)
    finally:
        gone.set()
"""
