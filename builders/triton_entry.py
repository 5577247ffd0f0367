"""TritonEntry: one model of a Triton repository on disk: which version and file are meant, and what its config says.

The layout is Triton's: NAME/config.pbtxt, NAME/VERSION/FILE, beside config.pbtxt label files, warmup/, initial_state/
(https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gantline.accelerators.triton.model_config import CONFIG, PACKAGED, ModelConfig
from gantline.accelerators.triton.named_file import named_file
from gantline.accelerators.triton.versions import LATEST, Policy
from gantline.accelerators.triton.warmup import FOLDER as WARMUP

from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.packages import MANIFEST

INSIDE = "config"  # the package's folder for config.pbtxt and what it names
STATES = "initial_state"
# backend -> the file that it looks for in a version's directory
FILES = {
    "onnxruntime": "model.onnx",
    "pytorch": "model.pt",
    "python": "model.py",
    "tensorflow": "model.savedmodel",
    "tensorrt": "model.plan",
    "openvino": "model.xml",
    "fil": "xgboost.json",
}
# what to do with what is not taken: other backends have the model in another form
_INSTEAD = {
    "tensorrt": "a plan holds for one GPU and one TensorRT; package the ONNX file that it was built from",
    "openvino": "package the model that it was made from",
    "fil": "package its XGBoost, LightGBM or scikit-learn file",
    "dali": "put its steps into a scoring script (--script)",
    "vllm": "language models are served by vLLM itself",
    "tensorrtllm": "language models are served by TensorRT-LLM itself",
}
# the longest key that begins what is listed -> why it is not applied
_WHY = {
    "optimization.graph": "onnxruntime always applies all of its optimisations",
    "optimization.eager_batching": "an idle engine runs at once anyway",
    "optimization.execution_accelerators": "it runs on the CPU by the engine named here",
    "optimization.priority": "models do not go before one another; tenants have weights",
    "optimization": "it concerns GPUs",
    "instance_group.count": "requests of sequences run one after another, in one instance",
    "instance_group.kind": "it runs on the CPU",
    "instance_group.rate_limiter": "instances of different models do not wait for one another",
    "instance_group": "it concerns GPUs or hosts of other kinds",
    "response_cache": "answers are computed, never kept",
    "model_transaction_policy": "a program of this kind gives one answer to a request",
    "model_repository_agents": "a package is proved by its digest instead",
    "model_operations": "libraries of custom operators are not loaded",
    "cc_model_filenames": "it chooses a file by GPU",
    "runtime": "the engine named here runs it",
    "metric_tags": "metrics have the labels that the documentation lists",
    "model_metrics": "histograms have fixed bounds",
    "parameters": "it means nothing to the engine named here",
    "input": "it is a hint for a GPU's or a client's layout, or for ragged batches (see --pad)",
    "output": "it is a hint for a GPU's layout",
    "sequence_batching": "requests of one sequence run one after another",
    "sequence_batching.state": "states are arrays of their own, of which the first begins a sequence",
    "dynamic_batching.preserve_ordering": "with several instances, answers come when they are ready",
}


@dataclass(frozen=True, slots=True)
class TritonEntry:
    """`folder` is the model's directory, `file` its program; `config` None where there is no config.pbtxt."""

    folder: Path
    version: int
    file: Path
    backend: str
    config: ModelConfig | None
    notes: tuple[str, ...]

    def files(self) -> dict[str, Path]:
        """config.pbtxt and the files that it names, by their paths in the package."""
        config = self.config
        if config is None:
            return {}
        out = {f"{INSIDE}/{CONFIG}": config.path}
        for tensor in config.outputs:
            if tensor.label_file:
                self._add(out, "", tensor.label_file, f"output '{tensor.name}': label_filename")
        for sample in config.message.model_warmup:
            for name, said in sorted(sample.inputs.items()):
                if said.input_data_file:
                    where = f"model_warmup '{sample.name}': input '{name}': input_data_file"
                    self._add(out, WARMUP, said.input_data_file, where)
        for state in config.message.sequence_batching.state:
            for first in state.initial_state:
                if first.data_file:
                    self._add(out, STATES, first.data_file, f"state '{state.input_name}': data_file")
        return out

    def _add(self, out: dict[str, Path], folder: str, name: str, where: str) -> None:
        path = named_file(self.folder / folder, name, f"{self.folder / CONFIG}: {where}")
        if not path.is_file():
            raise BadArtefact(f"{self.folder / CONFIG}: {where}: no file {path}")
        out["/".join(p for p in (INSIDE, folder, name) if p)] = path


def is_entry(path: Path) -> bool:
    """A directory with config.pbtxt, one of its numbered versions, or numbered directories with a backend's file."""
    if not path.is_dir() or (path / MANIFEST).exists():
        return False
    if (path / CONFIG).is_file() or (path.name.isdigit() and (path.parent / CONFIG).is_file()):
        return True
    return any((path / str(n) / file).exists() for n in _numbers(path) for file in FILES.values())


def models_in(path: Path) -> list[str]:
    """The models of a whole repository, for a message; empty for anything else."""
    if not path.is_dir():
        return []
    return sorted(child.name for child in path.iterdir() if (child / CONFIG).is_file())


def read_entry(path: Path) -> TritonEntry:
    """The version that the config's policy serves last, or the numbered directory given.

    Unsupported for backends that have no form here, saying what to do; BadArtefact for a damaged entry.
    """
    path = path.resolve()
    folder, pinned = (path, 0) if not _is_version(path) else (path.parent, int(path.name))
    config = ModelConfig.read(folder / CONFIG, (*PACKAGED, *_INSTEAD)) if (folder / CONFIG).is_file() else None
    there = _numbers(folder)
    if not there:
        raise BadArtefact(f"{folder}: no version directory; expected {folder.name}/1/{FILES['onnxruntime']}")
    chosen = Policy((config.versions if config is not None else "") or LATEST).choose(there, folder)
    version = pinned or chosen[-1]
    backend = _backend(folder / str(version), config)
    if backend in _INSTEAD:
        raise Unsupported(f"{folder}: backend '{backend}' is not supported: {_INSTEAD[backend]}")
    notes = _notes(folder, config, version, there)
    return TritonEntry(folder, version, _file(folder / str(version), backend, config), backend, config, notes)


def _is_version(path: Path) -> bool:
    return path.name.isdigit() and not (path / CONFIG).is_file() and not _numbers(path)


def _numbers(folder: Path) -> list[int]:
    """As in Triton, a name that begins with 0 is no version."""
    names = (p.name for p in folder.iterdir() if p.is_dir())
    return sorted(int(n) for n in names if n.isascii() and n.isdigit() and n[0] != "0")


def _backend(folder: Path, config: ModelConfig | None) -> str:
    """What the config says, else what the version's files tell."""
    if config is not None and config.backend:
        return config.backend
    found = next((backend for backend, name in FILES.items() if (folder / name).exists()), "")
    if config is not None and config.message.default_model_filename:
        suffix = Path(config.message.default_model_filename).suffix
        found = found or next((b for b, name in FILES.items() if Path(name).suffix == suffix), "")
    if not found:
        raise BadArtefact(f"{folder}: no model in it, and no backend named; expected {', '.join(FILES.values())}")
    return found


def _file(folder: Path, backend: str, config: ModelConfig | None) -> Path:
    name = (config.message.default_model_filename if config is not None else "") or FILES[backend]
    where = f"{folder.parent / CONFIG}: default_model_filename"
    file = named_file(folder, name, where)
    if file.is_dir() and backend == "onnxruntime":
        file = file / file.name  # Triton's layout for a model with external data: model.onnx/model.onnx
    if not file.exists():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:3]) if folder.is_dir() else "no such directory"
        raise BadArtefact(f"{folder}: no {name}, which the backend '{backend}' runs (found {found or 'nothing'})")
    return file


def _notes(folder: Path, config: ModelConfig | None, version: int, there: list[int]) -> tuple[str, ...]:
    notes = []
    if len(there) > 1:
        others = ", ".join(str(v) for v in there if v != version)
        notes.append(f"version {version} of the entry; others are packages of their own: {folder.name}/{{{others}}}")
    if config is None:
        return (*notes, f"no {CONFIG} in the entry: names and shapes are the model's own")
    return (*notes, *_not_applied(config))


def _not_applied(config: ModelConfig) -> Iterator[str]:
    for key in config.ignored:
        known = [start for start in _WHY if key.startswith(start)]
        why = _WHY[max(known, key=len)] if known else "nothing here acts on it"
        yield f"{CONFIG}: {key} is not applied: {why}"


def repository_error(path: Path) -> UsageError:
    """What to type where a whole repository was given."""
    models = models_in(path)
    shown = ", ".join(models[:4]) + (", ..." if len(models) > 4 else "")
    return UsageError(
        f"{path}: a Triton repository of {len(models)} models ({shown}); package one of them: "
        f"gantline package {path / models[0]} --name {models[0]}; or serve all as they are: gantline serve {path}"
    )
