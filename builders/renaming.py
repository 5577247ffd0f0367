"""Renaming: order and names of an ONNX graph that depend on its structure alone, subgraphs and functions included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from gantline.accelerators.onnx import REFUSES

if TYPE_CHECKING:
    import onnx

_GRAPH, _GRAPHS, _TENSOR, _TENSORS, _SPARSE, _SPARSES = 5, 10, 4, 9, 11, 12  # AttributeProto.AttributeType


class _Names:
    """Fresh names that clash with none that must stay; `t0`, `t1`, ... for tensors, `w0`, ... for weights."""

    def __init__(self, kept: set[str]) -> None:
        self._kept = kept
        self._counts: dict[str, int] = {}

    def fresh(self, prefix: str) -> str:
        while True:
            number = self._counts.get(prefix, 0)
            self._counts[prefix] = number + 1
            name = f"{prefix}{number}"
            if name not in self._kept:
                return name


def canonical_graph(graph: onnx.GraphProto) -> None:
    """Order, rename and strip the main graph in place; its inputs and outputs keep their names and order."""
    kept = {v.name for v in (*graph.input, *graph.output)}
    _graph(graph, {name: name for name in kept}, _Names(kept))


def canonical_function(function: onnx.FunctionProto) -> None:
    """The same for a local function, whose inputs and outputs are known by position, and its attributes by name."""
    function.ClearField("doc_string")
    _clear(function, "metadata_props")
    names = _Names(set())
    renamed: dict[str, str] = {}
    for i, name in enumerate(function.input):
        renamed[name] = function.input[i] = names.fresh("i")
    nodes = _ordered(list(function.node), list(function.output))
    _nodes(nodes, renamed, names)
    for i, name in enumerate(function.output):
        function.output[i] = renamed.get(name, name)
    _put(function.node, nodes)
    _value_info(function, renamed)


def _graph(graph: onnx.GraphProto, renamed: dict[str, str], names: _Names) -> None:
    graph.ClearField("doc_string")
    _clear(graph, "metadata_props")
    nodes = _ordered(list(graph.node), [o.name for o in graph.output])
    weights = {t.name: t for t in graph.initializer}
    sparse = {t.values.name: t for t in graph.sparse_initializer}
    listed = [i.name for i in graph.input]
    # weights in the order of their first use; those that nothing uses are dropped
    used = dict.fromkeys(n for n in (*_reads(nodes), *(o.name for o in graph.output), *listed))
    for name in used:
        if (name in weights or name in sparse) and name not in renamed:
            renamed[name] = names.fresh("w")
    _nodes(nodes, renamed, names)
    _put(graph.node, nodes)
    _weights(graph, [n for n in used if n in weights or n in sparse], renamed)
    for value in (*graph.input, *graph.output):
        value.name = renamed.get(value.name, value.name)
        _strip_value(value)
    _value_info(graph, renamed)
    _quantisation(graph, renamed)


def _subgraph(graph: onnx.GraphProto, outer: dict[str, str], names: _Names) -> None:
    # names inside hide those outside; inputs and outputs of a subgraph are known by position
    inner = dict(outer)
    for name in (*(i.name for i in graph.input), *_defined(graph)):
        inner.pop(name, None)
    for value in graph.input:
        inner[value.name] = names.fresh("i")
    graph.name = names.fresh("g")
    _graph(graph, inner, names)


def _defined(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.output
    yield from (t.name for t in graph.initializer)
    yield from (t.values.name for t in graph.sparse_initializer)


def _ordered(nodes: list[onnx.NodeProto], wanted: list[str]) -> list[onnx.NodeProto]:
    """The nodes that the wanted tensors need, each after those it reads: depth first, inputs from left to right."""
    producer = {name: at for at, node in enumerate(nodes) for name in node.output if name}
    reads = [list(_needs(node)) for node in nodes]
    done: set[int] = set()
    order: list[onnx.NodeProto] = []
    for name in wanted:
        if name not in producer:
            continue
        stack = [(producer[name], 0)]
        while stack:
            at, step = stack.pop()
            if at in done:
                continue
            while step < len(reads[at]):
                below = producer.get(reads[at][step])
                step += 1
                if below is not None and below not in done and below != at:
                    stack += [(at, step), (below, 0)]
                    break
            else:
                done.add(at)
                order.append(nodes[at])
    return order


def _reads(nodes: list[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from _needs(node)


def _needs(node: onnx.NodeProto) -> Iterator[str]:
    """Tensors that a node reads from the graph it stands in: its inputs, then what its subgraphs capture."""
    yield from (name for name in node.input if name)
    for attribute in sorted(node.attribute, key=lambda a: a.name):
        for graph in _graphs(attribute):
            yield from _captured(graph)


def _captured(graph: onnx.GraphProto) -> Iterator[str]:
    own = {i.name for i in graph.input} | set(_defined(graph))
    ordered = _ordered(list(graph.node), [o.name for o in graph.output])
    for name in (*_reads(ordered), *(o.name for o in graph.output)):
        if name not in own:
            yield name


def _graphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    if attribute.type == _GRAPH:
        return [attribute.g]
    return list(attribute.graphs) if attribute.type == _GRAPHS else []


def _nodes(nodes: list[onnx.NodeProto], renamed: dict[str, str], names: _Names) -> None:
    for node in nodes:
        if not node.name.startswith(REFUSES):  # it is told to clients
            node.name = names.fresh("n")
        node.ClearField("doc_string")
        _clear(node, "metadata_props")
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        _put(node.attribute, sorted(node.attribute, key=lambda a: a.name))
        for attribute in node.attribute:
            _strip_attribute(attribute)
            for graph in _graphs(attribute):
                _subgraph(graph, renamed, names)
        for i, name in enumerate(node.output):
            if name:
                if name not in renamed:
                    renamed[name] = names.fresh("t")
                node.output[i] = renamed[name]


def _strip_attribute(attribute: onnx.AttributeProto) -> None:
    attribute.ClearField("doc_string")
    if attribute.type in (_TENSOR, _SPARSE):
        tensors = [attribute.t] if attribute.type == _TENSOR else [attribute.sparse_tensor.values]
    else:
        tensors = [*attribute.tensors, *(s.values for s in attribute.sparse_tensors)]
    for tensor in tensors:
        tensor.ClearField("name")
        _strip_tensor(tensor)


def _weights(graph: onnx.GraphProto, used: list[str], renamed: dict[str, str]) -> None:
    # sorted and deleted where they are: a copy would double a large model's memory
    place = {name: at for at, name in enumerate(used)}
    last = len(place)
    graph.initializer.sort(key=lambda t: place.get(t.name, last))
    graph.sparse_initializer.sort(key=lambda t: place.get(t.values.name, last))
    for field, name_of in ((graph.initializer, _own), (graph.sparse_initializer, _values)):
        field = cast(Any, field)
        while field and name_of(field[-1]).name not in place:
            del field[-1]
        for one in field:
            named = name_of(one)
            named.name = renamed[named.name]
            _strip_tensor(named)


def _own(tensor: Any) -> Any:
    return tensor


def _values(sparse: Any) -> Any:
    _strip_tensor(sparse.indices)
    return sparse.values


def _strip_tensor(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("doc_string")
    _clear(tensor, "metadata_props")


def _strip_value(value: onnx.ValueInfoProto) -> None:
    value.ClearField("doc_string")
    _clear(value, "metadata_props")


def _value_info(graph: Any, renamed: dict[str, str]) -> None:
    """Types of intermediate tensors: kept for those that are left, by their new names."""
    known = {}
    for value in getattr(graph, "value_info", ()):
        name = renamed.get(value.name)
        if name is not None:
            value.name = name
            _strip_value(value)
            known[name] = value
    if hasattr(graph, "value_info"):
        _put(graph.value_info, [known[n] for n in sorted(known)])


def _quantisation(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    kept = []
    for one in graph.quantization_annotation:
        if one.tensor_name in renamed:
            one.tensor_name = renamed[one.tensor_name]
            for entry in one.quant_parameter_tensor_names:
                entry.value = renamed.get(entry.value, entry.value)
            kept.append(one)
    _put(graph.quantization_annotation, sorted(kept, key=lambda a: a.tensor_name))


def _clear(message: Any, name: str) -> None:
    if hasattr(message, name):  # older onnx has no metadata_props on this message
        message.ClearField(name)


def _put(field: Any, values: list[Any]) -> None:
    copies = []
    for value in values:
        copy = type(value)()
        copy.CopyFrom(value)
        copies.append(copy)
    del field[:]
    field.extend(copies)
