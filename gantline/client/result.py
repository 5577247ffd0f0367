"""Result: the outputs of one infer call, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..request import Parameter, Reply
from ..tensors import Array

if TYPE_CHECKING:
    import pandas as pd


class Result(Mapping[str, Array]):
    """Outputs as arrays, in the server's order. BYTES outputs are object arrays of `bytes`; see `text`."""

    def __init__(self, reply: Reply) -> None:
        self.model = reply.model
        self.version = reply.version
        self.id = reply.id
        self.parameters: dict[str, Parameter] = reply.parameters or {}
        # copied: arrays over the answer's bytes are read-only, unaligned, and keep all of it in memory
        self._outputs = {name: a if a.flags.writeable else a.copy() for name, a in reply.outputs}

    def __getitem__(self, name: str) -> Array:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        shown = ", ".join(f"{n}: {a.dtype}{list(a.shape)}" for n, a in self._outputs.items())
        return f"<Result of {self.model}:{self.version} {shown}>"

    def _repr_html_(self) -> str:
        from ..notebook import result_html

        return result_html(f"{self.model}:{self.version}", self._outputs)

    def frame(self) -> pd.DataFrame:
        """All outputs as one pandas DataFrame; BYTES as `str`, several values of a row as columns `name_0`, `name_1`.

        BadRequest for outputs that differ in rows or have more than two dimensions; UsageError without pandas.
        """
        from .frames import columns_of, pandas_frame

        return pandas_frame(columns_of(self, None))

    def text(self, name: str) -> Array:
        """A BYTES output as an object array of `str`."""
        array = self._outputs[name]
        out = np.empty(array.size, object)
        out[:] = [e.decode("utf-8", "replace") if isinstance(e, bytes) else str(e) for e in array.ravel().tolist()]
        return out.reshape(array.shape)
