"""AsyncClient: a V2 server from asyncio code; the same calls as Client, awaited."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, overload

from ..errors import Unreachable
from ..request import Parameter
from ..signature import Json, Signature
from ..tensors import Array
from .address import Address
from .exchange import (
    Answer,
    Call,
    clean_headers,
    columns_of_matrix,
    compressed,
    decoded,
    infer_call,
    infer_result,
    json_call,
    json_result,
    key_header,
    model_path,
    raise_for,
    score_call,
    score_result,
    signature_of,
)
from .feeding import Inputs, arrays_of, needs_signature
from .frames import AnyTable, is_table, table_like
from .result import Result
from .streams import Streams


class AsyncClient:
    """A server's models as functions on numpy arrays. Close it, or use it in an `async with` block.

    `url` defaults to GANTLINE_URL, then http://127.0.0.1:8000. `timeout_s` is for one whole call. `binary`: tensors
    as bytes (fast, exact); else as JSON. `gzip`: compress what is sent and received. `headers` go with every call.
    `key` is an API key; it defaults to GANTLINE_KEY where `url` has its default, too.
    """

    def __init__(
        self, url: str | None = None, *, timeout_s: float = 60.0, binary: bool = True, gzip: bool = False,
        headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None, connections: int = 16,
        key: str | None = None,
    ) -> None:  # fmt: skip
        self._address = Address.of(url, tls)
        self.url = self._address.url
        self._streams = Streams(self._address, connections, timeout_s)
        self._binary = binary
        self._gzip = gzip
        self._headers = key_header(key, url, clean_headers(headers))
        self._signatures: dict[tuple[str, str], tuple[Signature, tuple[str, ...]]] = {}

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the idle connections; ones in use close when their call ends."""
        await self._streams.close()

    async def infer(
        self, model: str, inputs: Inputs, outputs: Sequence[str] | None = None, version: str = "", *,
        id: str | None = None, parameters: Mapping[str, Parameter] | None = None, classes: int = 0,
        binary: bool | None = None,
    ) -> Result:  # fmt: skip
        """One request. Arrays by name are sent as they are; lists, bare arrays and tables are fitted to the model.

        `outputs` None: all. `classes` k: the top k classes of each output as "score:index[:label]" (BYTES).
        """
        signature, columns = await self._known(model, version) if needs_signature(inputs) else (None, ())
        arrays = arrays_of(inputs, signature, model, columns)
        if classes and outputs is None:
            outputs = [t.name for t in (await self.signature(model, version)).outputs]
        wire = self._binary if binary is None else binary
        call = infer_call(model, version, arrays, outputs, wire, id, parameters, classes)
        return infer_result(await self._send(call), self.url)

    @overload
    async def predict(self, model: str, data: AnyTable, version: str = "") -> AnyTable: ...

    @overload
    async def predict(self, model: str, data: Mapping[str, Any] | Array | list[Any], version: str = "") -> Result: ...

    async def predict(self, model: str, data: Any, version: str = "") -> Any:
        """A table in, a table out: a DataFrame (pandas, polars) is answered by one with its index. Else as `infer`.

        Columns are found by name where the server knows the names of the model's, else by position.

        An output with several values a row becomes as many columns, `NAME_LABEL` where the model has class labels.
        """
        found = await self.infer(model, data, version=version)
        if not is_table(data):
            return found
        return table_like(data, found, await self.signature(model, version))

    async def score(self, body: Any, path: str = "/score", content_type: str = "application/json") -> Any:
        """Call a scoring script: bytes or str as they are, anything else as JSON. Its JSON answer, or bytes."""
        return score_result(await self._send(score_call(body, path, content_type)), self.url)

    async def live(self) -> bool:
        """Whether the server answers at all."""
        return await self._healthy("/v2/health/live")

    async def ready(self, model: str | None = None, version: str = "") -> bool:
        """Whether the server (or one model) takes requests. NotFound for a model that it does not know."""
        return await self._healthy(model_path(model, version, "ready") if model else "/v2/health/ready")

    async def metadata(self, model: str | None = None, version: str = "") -> Json:
        """The server's metadata, or a model's: its inputs, outputs and versions."""
        return await self._get(model_path(model, version) if model else "/v2")

    async def signature(self, model: str, version: str = "") -> Signature:
        """A model's inputs and outputs; kept after the first call (`forget` asks again)."""
        return (await self._known(model, version))[0]

    async def columns(self, model: str, version: str = "") -> tuple[str, ...]:
        """The names of the columns of a model's one matrix, in order; none where it has none, or they are not known."""
        return (await self._known(model, version))[1]

    def forget(self) -> None:
        """Ask for the models' metadata again when it is next needed: after a new version, for example."""
        self._signatures.clear()

    async def config(self, model: str, version: str = "") -> Json:
        """A model's configuration, as Triton's model_configuration extension gives it."""
        return await self._get(model_path(model, version, "config"))

    async def statistics(self, model: str | None = None, version: str = "") -> Json:
        """Counts and times of all models, or of one."""
        return await self._get(model_path(model, version, "stats") if model else "/v2/models/stats")

    async def index(self, ready: bool = False) -> list[Json]:
        """Every model that the server knows, with its state; `ready`: only those that answer."""
        document = {"ready": True} if ready else {}
        found: list[Json] = json_result(await self._send(json_call("POST", "/v2/repository/index", document)), self.url)
        return found

    async def memory(self) -> Json:
        """Of a server with --load on-demand, the models that are in memory, and what they weigh. Else Unsupported."""
        return await self._get("/v2/repository/memory")

    async def load(self, model: str, config: Json | str | None = None) -> None:
        """Load a model, or load it anew. `config`: a configuration in place of the one in its directory."""
        document: Json = {}
        if config is not None:
            document["parameters"] = {"config": config if isinstance(config, str) else json.dumps(config)}
        await self._control(model, "load", document)

    async def unload(self, model: str, unload_dependents: bool = False) -> None:
        """Take a model out of service; what it has accepted is answered first."""
        await self._control(model, "unload", {"parameters": {"unload_dependents": True}} if unload_dependents else {})

    async def _control(self, model: str, verb: str, document: Json) -> None:
        path = model_path(model).replace("/v2/models/", "/v2/repository/models/") + "/" + verb
        raise_for(await self._send(json_call("POST", path, document)), self.url)
        self.forget()

    async def _known(self, model: str, version: str) -> tuple[Signature, tuple[str, ...]]:
        found = self._signatures.get((model, version))
        if found is None:
            metadata = await self.metadata(model, version)
            found = signature_of(metadata, self.url), columns_of_matrix(metadata)
            self._signatures[model, version] = found
        return found

    async def _get(self, path: str) -> Json:
        found: Json = json_result(await self._send(Call("GET", path)), self.url)
        return found

    async def _healthy(self, path: str) -> bool:
        try:
            answer = await self._send(Call("GET", path))
        except Unreachable:
            return False
        if answer.status == 404:
            raise_for(answer, self.url)
        return answer.status == 200

    async def _send(self, call: Call) -> Answer:
        headers = self._headers
        if self._gzip:
            call = compressed(call)
            headers = (*headers, ("accept-encoding", "gzip"))
        return decoded(await self._streams.send(call, headers), self.url)
