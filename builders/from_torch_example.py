"""Example inputs of a torch model: from the sample, the program, or the module itself; and more rows like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gantline.accelerators.torch import from_tensor, one_line, to_tensor

from gantline.errors import BadArtefact, BadRequest, UsageError
from gantline.fitting import UNNAMED, fit
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, datatype_of

from .from_torch_load import Loaded
from .source import Sampler

if TYPE_CHECKING:
    import torch

SEED = 20240229
FREE = 3  # the size that free dimensions of an exported program get


def example_of(loaded: Loaded, sample: Mapping[str, Array] | None) -> dict[str, Array]:
    """Inputs on which the model runs, by name. UsageError says to give --sample where there are none."""
    own = _of_program(loaded) or _of_module(loaded)
    if sample is None and own is None:
        raise UsageError(
            f"{loaded.where}: needs example inputs for {', '.join(loaded.names)}: pass --sample FILE (.npz with these "
            "names), or give the module a method gantline_sample() that returns them"
        )
    if sample is None:
        assert own is not None
        return own
    if own is not None:
        signature = Signature(tuple(TensorSpec(n, datatype_of(a), _free_rows(a)) for n, a in own.items()), ())
        return fit(sample, signature, "--sample")
    return _by_name(loaded, sample)


def runs(loaded: Loaded, example: dict[str, Array]) -> dict[str, Array]:
    """The example in datatypes that forward() takes: whole numbers become floats if it refuses them as they are."""
    import torch

    tries = [example]
    if any(a.dtype.kind in "iu" for a in example.values()):
        wanted = _float_dtype(loaded)
        tries.append({n: a.astype(wanted) if a.dtype.kind in "iu" else a for n, a in example.items()})
    problem: Exception | None = None
    for one in tries:
        try:
            with torch.inference_mode():
                loaded.call({n: to_tensor(a) for n, a in one.items()})
            return one
        except Exception as e:  # the user's own code
            problem = problem or e
    assert problem is not None
    shapes = ", ".join(f"{n} {a.dtype}{list(a.shape)}" for n, a in example.items())
    raise BadRequest(f"{loaded.where}: forward() fails on the example ({shapes}): {one_line(problem)}") from problem


def resized(example: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """The same example with that many rows, repeated or cut; arrays with another first dimension stay as they are."""
    count = rows_of(example)
    index = np.arange(rows) % max(count, 1)
    return {n: a[index] if a.ndim and len(a) == count else a for n, a in example.items()}


def rows_of(example: Mapping[str, Array]) -> int:
    """The first dimension of the first array that has one."""
    return next((len(a) for a in example.values() if a.ndim), 0)


def more_like(example: Mapping[str, Array]) -> Sampler:
    """Rows like the example: floats with each input's mean and spread, integers drawn from its own values."""

    def sample(rows: int) -> dict[str, Array]:
        random = np.random.default_rng(SEED)
        count = rows_of(example)
        drawn = {}
        for name, array in example.items():
            if not array.ndim or len(array) != count or not array.size:
                drawn[name] = array
            else:
                drawn[name] = _draw(array, (rows, *array.shape[1:]), random)
        return drawn

    return sample


def _draw(array: Array, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if array.dtype.kind in "iub":
        return random.choice(array.ravel(), shape).astype(array.dtype)
    wide = array.astype(np.float64)
    mean, spread = float(wide.mean()), float(wide.std())
    if not np.isfinite(mean + spread):
        mean, spread = 0.0, 1.0
    out: Array = (mean + (spread or 1.0) * random.standard_normal(shape)).astype(array.dtype)
    return out


def _free_rows(array: Array) -> tuple[int, ...]:
    return (-1, *array.shape[1:]) if array.ndim else ()


def _of_program(loaded: Loaded) -> dict[str, Array] | None:
    """An exported program's own example inputs, or ones made from the shapes that it was exported with."""
    if loaded.program is None:
        return None
    import torch
    from torch.utils._pytree import tree_leaves

    given = loaded.program.example_inputs
    flat = [t for t in tree_leaves(given) if isinstance(t, torch.Tensor)] if given else []
    if len(flat) == len(loaded.names):
        return {n: from_tensor(t) for n, t in zip(loaded.names, flat, strict=True)}
    wanted = set(loaded.names)
    nodes = [n for n in loaded.program.graph.nodes if n.op == "placeholder" and n.name in wanted]
    made = {n.name: _random(n.meta["val"]) for n in nodes if isinstance(n.meta.get("val"), torch.Tensor)}
    if set(made) != wanted:
        raise BadArtefact(f"{loaded.where}: takes inputs that are not tensors ({', '.join(wanted - set(made))})")
    return made


def _random(like: torch.Tensor) -> Array:
    import torch

    shape = [d if isinstance(d, int) else FREE for d in like.shape]
    random = np.random.default_rng(SEED)
    if like.dtype.is_floating_point:
        return from_tensor(torch.from_numpy(random.standard_normal(shape)).to(like.dtype))
    return from_tensor(torch.from_numpy(random.integers(0, 2, shape)).to(like.dtype))


def _of_module(loaded: Loaded) -> dict[str, Array] | None:
    """What `gantline_sample()` returns or Lightning's `example_input_array` holds."""
    maker = getattr(loaded.module, "gantline_sample", None)
    try:
        given = maker() if callable(maker) else getattr(loaded.module, "example_input_array", None)
    except Exception as e:  # the user's own code
        raise BadArtefact(f"{loaded.where}: gantline_sample() fails: {type(e).__name__}: {one_line(e)}") from e
    if given is None:
        return None
    if isinstance(given, Mapping):
        found = dict(given)
    else:
        values = given if isinstance(given, tuple | list) else (given,)
        found = dict(zip(loaded.names, values, strict=False))
    unknown = set(found) - set(loaded.names)
    if unknown or not set(loaded.required) <= set(found):
        raise BadArtefact(f"{loaded.where}: its example has {_listed(found)}; forward() takes {_listed(loaded.names)}")
    return {n: _as_array(found[n]) for n in loaded.names if n in found}


def _as_array(value: Any) -> Array:
    import torch

    return from_tensor(value) if isinstance(value, torch.Tensor) else np.asarray(value)


def _by_name(loaded: Loaded, sample: Mapping[str, Array]) -> dict[str, Array]:
    """A sample for a module whose shapes nobody has said: by name, by position, or columns as one matrix."""
    columns = list(sample.values())
    positions = (list(map(str, range(len(columns)))), [f"arr_{i}" for i in range(len(columns))])
    if set(loaded.required) <= set(sample) <= set(loaded.names):
        found = {n: sample[n] for n in loaded.names if n in sample}
    elif len(columns) == 1 and (len(loaded.required) == 1 or list(sample) == [UNNAMED]):
        found = {(loaded.required or loaded.names)[0]: columns[0]}
    elif list(sample) in positions and len(loaded.required) <= len(columns) <= len(loaded.names) != 1:
        found = dict(zip(loaded.names, columns, strict=False))
    elif len(loaded.required or loaded.names[:1]) == 1 and all(a.ndim == 1 for a in columns):
        found = {(loaded.required or loaded.names)[0]: np.stack([_number(a, n) for n, a in sample.items()], axis=1)}
    else:
        raise BadRequest(f"--sample: holds {_listed(sample)}; forward() takes {_listed(loaded.names)}")
    if not set(loaded.required) <= set(found):
        raise BadRequest(f"--sample: holds {_listed(sample)}; forward() takes {_listed(loaded.names)}")
    wanted = _float_dtype(loaded)
    numbers = {n: _number(a, n) for n, a in found.items()}
    return {n: a.astype(wanted) if a.dtype.kind in "fV" else a for n, a in numbers.items()}


def _number(array: Array, name: str) -> Array:
    if array.dtype.kind in "OUSTM":
        raise BadRequest(f"--sample: '{name}' holds {array.dtype} values; a torch model takes numbers")
    return array


def _float_dtype(loaded: Loaded) -> np.dtype[Any]:
    """The precision of the module's own weights: samples are float64 in most files, and few models are."""
    import torch

    weights = loaded.module.parameters() if loaded.module is not None else iter(())
    kind = next((p.dtype for p in weights if p.dtype.is_floating_point), torch.float32)
    return from_tensor(torch.zeros(0, dtype=kind)).dtype


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f"'{n}'" if n else "one unnamed array" for n in list(names)[:8]) or "nothing"
