"""Warmup: the requests that a config.pbtxt's model_warmup declares, built and run before its model takes others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact, BadRequest, EngineFailed, ScriptFailed
from gantline.signature import Signature
from gantline.tensors import Array, numpy_dtype
from gantline.wire.v2_tensors import from_bytes

from ..session import Session
from .model_config import ModelConfig, datatype_name
from .named_file import named_file

FOLDER = "warmup"  # of the files, beside config.pbtxt
MAX_ELEMENTS = 1 << 28  # of one input
_TEXT = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", "S1")


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, to be run `count` times."""

    name: str
    inputs: dict[str, Array]
    count: int


def rehearse(session: Session, config: ModelConfig) -> int:
    """Run every sample; how many runs it were. BadArtefact when one cannot be built, or the model fails on it."""
    runs = 0
    for sample in samples(config, session.signature):
        for _ in range(sample.count):
            try:
                session.run(sample.inputs)
            except (BadRequest, EngineFailed, ScriptFailed) as e:
                raise BadArtefact(f"{config.path}: model_warmup '{sample.name}': the model fails on it: {e}") from e
            runs += 1
    return runs


def samples(config: ModelConfig, signature: Signature) -> Iterator[Sample]:
    """The samples, each held against the signature. BadArtefact says which one and why it does not do."""
    controlled = config.message.HasField("sequence_batching")  # what that feeds is not for a request to give
    for i, said in enumerate(config.message.model_warmup):
        where = f"{config.path}: model_warmup '{said.name or i}'"
        batch = [max(said.batch_size, 1)] if config.max_batch_size else []
        if batch and batch[0] > config.max_batch_size:
            raise BadArtefact(f"{where}: batch_size is {batch[0]}, max_batch_size {config.max_batch_size}")
        random = np.random.default_rng(0)
        inputs = {}
        for name in sorted(said.inputs):
            if controlled and signature.input(name) is None:
                continue
            shape = [*batch, *said.inputs[name].dims]
            try:
                inputs[name] = _array(said.inputs[name], name, shape, random, config.path.parent / FOLDER)
            except (BadArtefact, BadRequest) as e:
                raise BadArtefact(f"{where}: {e}") from e
        try:
            signature.check(config.name or config.path.parent.name, inputs)
        except BadRequest as e:
            raise BadArtefact(f"{where}: {e}") from e
        yield Sample(said.name, inputs, max(said.count, 1))


def _array(said: Any, name: str, shape: list[int], random: np.random.Generator, folder: Path) -> Array:
    types = said.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    datatype = datatype_name(types[said.data_type].name)
    if not datatype:
        raise BadRequest(f"input '{name}' has no data_type")
    if any(d < 0 for d in shape) or prod(shape) > MAX_ELEMENTS:
        raise BadRequest(f"input '{name}' has dims {shape}, expected sizes of {MAX_ELEMENTS} elements in all at most")
    choice = said.WhichOneof("input_data_type")
    if choice == "input_data_file":
        return from_bytes(name, datatype, shape, memoryview(_file(folder, name, said.input_data_file)))
    if choice == "random_data":
        return _random(datatype, shape, random)
    if choice != "zero_data":
        raise BadRequest(f"input '{name}' has none of zero_data, random_data and input_data_file")
    return np.full(shape, b"" if datatype == "BYTES" else 0, numpy_dtype(datatype))


def _file(folder: Path, name: str, file: str) -> bytes:
    path = named_file(folder, file, f"input '{name}': input_data_file")
    try:
        return path.read_bytes()
    except (OSError, ValueError) as e:
        raise BadRequest(f"input '{name}': {path} cannot be read: {getattr(e, 'strerror', e)}") from e


def _random(datatype: str, shape: list[int], random: np.random.Generator) -> Array:
    """Small numbers, since whole ones may be indices, and short words."""
    dtype = numpy_dtype(datatype)
    if datatype == "BYTES":
        words = random.choice(_TEXT, (prod(shape), 8))
        return np.array([b"".join(w) for w in words.tolist()] or [], object).reshape(shape)
    if dtype.kind in "iu":
        return random.integers(0, 100, shape).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)
