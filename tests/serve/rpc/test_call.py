"""The contract between gRPC fronts and methods."""

from __future__ import annotations

from gantline.serve.rpc.call import Methods


def test_a_port_without_methods_answers_nothing() -> None:
    assert Methods().unary == {} and Methods().streaming == {}
