"""Token patterns: onnxruntime finds the tokens that Python finds, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders import from_sklearn, sklearn_texts
from gantline.builders.sklearn_answers import answers_of, reference
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import WAYS, to_onnx
from gantline.builders.sklearn_texts import token_expression
from gantline.builders.source import Source
from sklearn.feature_extraction.text import CountVectorizer

from gantline.errors import Unsupported

TEXTS = [
    "A GØØD film, isn't it? x 漢字 漢 ½ ²3 naïve e-mail a_b 3.5",
    "Привет, мир!  Ещё\tраз\nи \u00a0снова (été) ÅNGSTRÖM",  # noqa: RUF001  # that is what it is for
    "good a film",
    "",
    "x",
]


@pytest.mark.parametrize(
    "pattern",
    [r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\b\w{3,}\b", r"\w+", r"\S+", r"[a-z]+", r"\d+|\w\w+", r"[\w'-]+", r"\D+"],
)
@pytest.mark.parametrize("most", [1, 2])
def test_the_same_tokens(tmp_path: Path, pattern: str, most: int) -> None:
    model = CountVectorizer(token_pattern=pattern, ngram_range=(1, 1 if pattern == r"\D+" else most)).fit(TEXTS)
    layout = layout_of(model, None)
    to_onnx(model, layout, WAYS[0], 1, tmp_path / "m.onnx")
    inputs = {"X": np.array([[t.encode()] for t in TEXTS], object)}
    got = open_model(tmp_path / "m.onnx").run(inputs, ["variable"])[0]
    want = reference(model, layout, answers_of(model))(inputs)[0]
    wrong = [w for w, at in model.vocabulary_.items() if not np.array_equal(got[:, at], want[:, at])]
    assert wrong == []


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"(\w)\w+", "the token is a part of what matches"),
        (r"(?<=g)\w+", "it looks around"),
        (r"\b\w{2,5}\b", "ends of ASCII words alone"),
        (r"[\W]+", r"\\W in a set"),
    ],
)
def test_what_cannot_be_tokenised_is_told(pattern: str, told: str) -> None:
    with pytest.raises(Unsupported, match=told):
        token_expression(pattern)


def test_words_of_one_letter_that_count_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As skl2onnx's own expression has it: "good a film" would have no "good film"."""
    model = CountVectorizer(ngram_range=(2, 2)).fit(["good film", "bad film", "good acting", "bad acting film"])
    source = Source("m", object=model)
    study = from_sklearn.study_of(model, source)
    assert from_sklearn.tried(WAYS[0], study, source, tmp_path)[1] == ""
    monkeypatch.setattr(sklearn_texts, "token_expression", lambda pattern: "[a-zA-Z0-9_]+")
    assert "output 'variable'" in from_sklearn.tried(WAYS[0], study, source, tmp_path)[1]
