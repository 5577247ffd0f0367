"""Which signature is meant, and which operations reach beyond a model. Loading: test_from_saved_model."""

from __future__ import annotations

import pytest
from gantline.builders.tf_saved import _REACHES, choose

from gantline.errors import BadArtefact, UsageError


def test_the_default_the_only_one_or_the_named() -> None:
    assert choose("", ["serve", "serving_default"], "m") == "serving_default"
    assert choose("", ["serve", "__saved_model_init_op"], "m") == "serve"
    assert choose("serve", ["serve", "serving_default"], "m") == "serve"


def test_what_is_said_otherwise() -> None:
    with pytest.raises(UsageError, match="m: has no 'serving_default'; choose one with --signature: a, b"):
        choose("", ["b", "a"], "m")
    with pytest.raises(UsageError, match="m: has no signature 'c'; there are: a, b"):
        choose("c", ["b", "a"], "m")
    with pytest.raises(BadArtefact, match="m: has no signatures"):
        choose("", ["__saved_model_init_op"], "m")


@pytest.mark.parametrize(
    "op", ["PyFunc", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "WholeFileReaderV2", "TFRecordDataset",
           "IteratorGetNext", "SaveV2", "CreateSummaryFileWriter", "DebugIdentity", "RpcCall"],
)  # fmt: skip
def test_operations_that_reach_out(op: str) -> None:
    assert _REACHES.search(op)


@pytest.mark.parametrize(
    "op", ["MatMul", "RestoreV2", "ReadVariableOp", "LookupTableFindV2", "StaticRegexReplace", "HashTableV2", "While",
           "InitializeTableFromTextFileV2", "DecodeJpeg", "ShardedFilename", "Identity"],
)  # fmt: skip
def test_operations_that_do_not(op: str) -> None:
    assert not _REACHES.search(op)
