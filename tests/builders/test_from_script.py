"""From a directory or file with a scoring script to a package that answers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.builders.from_script import recognises
from gantline.builders.source import Source

import gantline
from gantline.errors import BadArtefact, UsageError
from gantline.packages import Package

SCRIPT = "import os\nfrom inner.words import WORD\ndef init(): pass\ndef run(data): return WORD + data\n"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    (root / "inner" / "__pycache__").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "env").mkdir()
    (root / "score.py").write_text(SCRIPT)
    (root / "inner" / "words.py").write_text("WORD = 'said: '")
    (root / "inner" / "__pycache__" / "words.cpython-311.pyc").write_bytes(b"x")
    (root / ".git" / "config").write_text("x")
    (root / ".env").write_text("PASSWORD=x")
    (root / "env" / "pyvenv.cfg").write_text("x")
    return root


def make(tmp_path: Path, source: Path | None = None, **words: Any) -> Package:
    return gantline.package(source, name="m", output=tmp_path / "m.pkg", **words)


def paths(package: Package) -> list[str]:
    return [f.path for f in package.manifest.files]


def test_a_directory_is_packaged_and_answers(code: Path, tmp_path: Path) -> None:
    package = make(tmp_path, code)
    assert paths(package) == ["code/inner/words.py", "code/score.py"]
    assert package.manifest.script is not None and package.manifest.script.entry == "score.py"
    assert package.manifest.engine == "script" and package.manifest.environment.kind == "current"
    session = Session.open(package)
    try:
        assert session.run({"data": np.array([b"a", b"b"], object)})[0].tolist() == [b'"said: a"', b'"said: b"']
    finally:
        session.close()
    assert package.verify_files() == 2


def test_the_same_code_gives_the_same_digest(code: Path, tmp_path: Path) -> None:
    one, two = (gantline.package(code, name="m", output=tmp_path / f"{i}.pkg") for i in (1, 2))
    assert one.digest == two.digest


def test_models_are_kept_apart_from_code(code: Path, tmp_path: Path) -> None:
    models = code / "weights"
    models.mkdir()
    (models / "m.bin").write_bytes(b"w")
    package = make(tmp_path, code, script=Path("score.py"), model_dir=models)
    assert paths(package) == ["code/inner/words.py", "code/score.py", "models/m.bin"]
    assert package.manifest.script is not None and package.manifest.script.models == "models"


def test_a_script_alone_and_a_script_with_code(code: Path, tmp_path: Path) -> None:
    assert paths(make(tmp_path, script=code / "inner" / "../score.py")) == ["code/score.py"]
    package = gantline.package(script=code / "score.py", code=code, name="n", output=tmp_path / "n.pkg")
    assert "code/inner/words.py" in paths(package)


def test_pickles_are_marked(code: Path, tmp_path: Path) -> None:
    (code / "model.joblib").write_bytes(b"x")
    (code / "blob").write_bytes(pickle.dumps([1]))
    package = make(tmp_path, code)
    assert package.manifest.script is not None
    assert package.manifest.script.pickles == ("code/blob", "code/model.joblib")
    assert any("--no-pickle" in n for n in package.manifest.notes)


def test_requirements_beside_the_code_are_the_request(code: Path, tmp_path: Path) -> None:
    (code / "requirements.txt").write_text("attrs==24.2.0\n")
    assert make(tmp_path, code).manifest.environment.requirements == ("attrs==24.2.0",)
    other = gantline.package(code, env="current", name="m", output=tmp_path / "o.pkg")
    assert other.manifest.environment.kind == "current"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def run(d): pass", r"score\.py: the script does not define init\(\)"),
        ("def init(): pass", r"does not define run\(data\)"),
        ("def init(:", r"score\.py line 1: not Python"),
        ("x = '\0'", r"cannot be read as Python|not Python"),
    ],
)
def test_a_script_that_breaks_the_contract_is_refused_unrun(code: Path, tmp_path: Path, text: str, said: str) -> None:
    (code / "score.py").write_text(text)
    with pytest.raises(BadArtefact, match=said):
        make(tmp_path, code)
    assert not (tmp_path / "m.pkg").exists()


@pytest.mark.parametrize(
    "text",
    [
        "from inner.words import *",
        "from x import init, run",
        "import y as driver_module\ninit = lambda: 1",
        "try:\n    from x import init\nexcept ImportError:\n    def init(): pass\nasync def run_batch(items): pass",
    ],
)
def test_names_may_come_from_anywhere(code: Path, tmp_path: Path, text: str) -> None:
    (code / "score.py").write_text(text)
    make(tmp_path, code)


def test_wrong_words_are_said(code: Path, tmp_path: Path) -> None:
    for words in (
        {"source": code, "script": Path("other.py")},
        {"source": code, "script": code, "model_dir": None},
        {"source": code, "model_dir": tmp_path / "none"},
        {"source": code / "inner", "script": code / "score.py"},
        {"script": tmp_path / "none.py"},
    ):
        with pytest.raises(UsageError):
            make(tmp_path, **words)


def test_links_stay_inside(code: Path, tmp_path: Path) -> None:
    """What a link leads to is in the package; one that leads out is refused, whatever it leads to."""
    secret = tmp_path / "key"
    secret.write_text("secret")
    (code / "inner" / "again.py").symlink_to(Path("..", "score.py"))
    assert "code/inner/again.py" in paths(make(tmp_path / "one", code))
    (code / "inner" / "data.txt").symlink_to(secret)
    with pytest.raises(BadArtefact, match=r"data\.txt: a link out of .*, to .*/key; .*cp -rL"):
        make(tmp_path / "two", code)
    models = tmp_path / "models"
    models.mkdir()
    (models / "m.bin").symlink_to(secret)
    with pytest.raises(BadArtefact, match=r"m\.bin: a link out of"):
        gantline.package(script=code / "score.py", model_dir=models, name="m", output=tmp_path / "three.pkg")
    assert not list(tmp_path.glob("t*/*.pkg")) and not (tmp_path / "three.pkg").exists()


def test_broken_links_are_refused(code: Path, tmp_path: Path) -> None:
    (code / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(BadArtefact, match=r"link: neither a file nor a directory"):
        make(tmp_path, code)


def test_what_is_recognised(code: Path, tmp_path: Path) -> None:
    assert recognises(Source("m", path=code))
    assert recognises(Source("m", script=code / "score.py"))
    assert not recognises(Source("m", path=tmp_path))
    assert not recognises(Source("m", path=code / "score.py"))
    assert not recognises(Source("m", object=object()))


INFER = """
INPUTS = {"n": ("INT64", [1])}
OUTPUTS = {"i": ("INT64", [1])}
def infer(inputs):
    raise SystemExit("it is not run")
    WORD {"i": inputs["n"]}
"""


@pytest.mark.parametrize("word", ["return", "yield"])
def test_a_script_with_infer_says_its_signature_and_is_not_run(tmp_path: Path, word: str) -> None:
    script = tmp_path / "score.py"
    script.write_text(INFER.replace("WORD", word))
    manifest = make(tmp_path, script=script).manifest
    assert manifest.script is not None and manifest.signature is not None
    assert (manifest.script.contract, manifest.script.decoupled) == ("tensors", word == "yield")
    assert [t.name for t in manifest.signature.inputs] == ["n"] and manifest.batching.max_batch_size == 0
    (tmp_path / "body.json").write_text("{}")
    with pytest.raises(UsageError, match="--sample is a body for a script with run"):
        gantline.package(script=script, name="n", output=tmp_path / "n.pkg", sample=tmp_path / "body.json")
    script.write_text("def infer(inputs): return {}")
    with pytest.raises(BadArtefact, match="no INPUTS found"):
        gantline.package(script=script, name="n", output=tmp_path / "n.pkg")
