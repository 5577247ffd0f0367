"""Environment requests as people write them: three kinds of file, and what each must refuse."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gantline.accelerators.script.request_file import read_request

from gantline.errors import BadArtefact
from gantline.manifest import EnvironmentRequest

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_requirements_with_includes_comments_hashes_and_options(tmp_path: Path) -> None:
    write(tmp_path / "base.txt", "scipy>=1.11  # needed by all\n")
    found = read_request(
        write(
            tmp_path / "requirements.txt",
            "# ours\n-r base.txt\n--extra-index-url https://example.org/simple\n\n"
            "numpy==2.1.0 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\n"
            'tomli>=2 ; python_version < "3.11"\n',
        )
    )
    assert found == EnvironmentRequest(
        "requirements",
        "",
        (
            "scipy>=1.11",
            "--extra-index-url https://example.org/simple",
            "numpy==2.1.0 --hash=sha256:abc --hash=sha256:def",
            'tomli>=2 ; python_version < "3.11"',
        ),
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-e .", "path on this machine"),
        ("./wheels/own-1.0-py3-none-any.whl", "path on this machine"),
        ("own @ file:///home/me/own", "path on this machine"),
        ("--find-links wheels", "requirements.txt:2: '--find-links wheels' is a folder beside this file"),
        ("-c missing.txt", "missing.txt: no such file"),
        ("-c https://example.org/pins.txt", "'-c https://example.org/pins.txt' is elsewhere"),
        ("-c requirements.txt", "includes itself"),
        ("-r missing.txt", "missing.txt: no such file"),
        ("-r requirements.txt", "includes itself"),
        ("==1.0", "is not a requirement"),
    ],
)
def test_what_means_something_only_here_is_refused(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(BadArtefact, match=says):
        read_request(write(tmp_path / "requirements.txt", f"numpy\n{line}\n"))


def test_constraints_travel_line_by_line(tmp_path: Path) -> None:
    """Their file would not; paths are relative to the file that names them, and what it includes is asked for."""
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "more.txt", "--constraint=pins.txt\nscipy\n")
    write(tmp_path / "sub" / "pins.txt", "numpy<2.2 ; python_version > '3'  # old\n-r asked.txt\n-cdeep.txt\n")
    write(tmp_path / "sub" / "asked.txt", "pandas\n")
    write(tmp_path / "sub" / "deep.txt", "own[x]==1.0 --hash=sha256:abc\n--pre\n")
    found = read_request(write(tmp_path / "requirements.txt", "-r sub/more.txt\n"))
    assert found.requirements == (
        "-c numpy<2.2 ; python_version > '3'", "pandas", "-c own[x]==1.0 --hash=sha256:abc", "--pre", "scipy",
    )  # fmt: skip
    write(tmp_path / "conda.yml", "dependencies:\n  - pip:\n    - -c sub/pins.txt\n    - numpy\n")
    assert read_request(tmp_path / "conda.yml").requirements == (*found.requirements[:-1], "numpy")


def test_an_editable_repository_is_what_is_in_it(tmp_path: Path) -> None:
    for word in ("-e ", "--editable="):
        found = read_request(write(tmp_path / "r.txt", f"{word}git+https://example.org/own.git@v1#egg=own\n"))
        assert found.requirements == ("git+https://example.org/own.git@v1#egg=own",)


def test_urls_are_carried(tmp_path: Path) -> None:
    lines = ("git+https://example.org/own.git@v1", "own @ https://example.org/own-1.0-py3-none-any.whl")
    assert read_request(write(tmp_path / "r.txt", "\n".join(lines))).requirements == lines


@pytest.mark.parametrize(
    "line",
    [
        "own @ https://user:s3cr3t@example.org/own-1.0-py3-none-any.whl",
        "--index-url https://s3cr3t@example.org/simple",
        "--extra-index-url=https://${USER}:s3cr3t@example.org/simple",
        "git+https://user:a@s3cr3t@example.org/own.git",
        "-r https://user:s3cr3t@example.org/more.txt",
        "-c https://user:s3cr3t@example.org/pins.txt",
    ],
)
def test_passwords_are_not_carried_and_not_told(tmp_path: Path, line: str) -> None:
    for name, text in (("r.txt", line), ("conda.yml", f"dependencies:\n  - pip:\n    - {line}\n")):
        with pytest.raises(BadArtefact, match=r"example\.org") as told:
            read_request(write(tmp_path / name, text))
        assert "s3cr3t" not in str(told.value)


def test_names_that_stand_for_passwords_are_carried(tmp_path: Path) -> None:
    lines = (
        "--index-url https://me:${TOKEN}@example.org/simple",
        "--extra-index-url https://${WHO}:${TOKEN}@example.org/more",
        "own @ https://${TOKEN}@example.org/own-1.0-py3-none-any.whl",
        "git+ssh://git@example.org/own.git@v1",
    )
    assert read_request(write(tmp_path / "r.txt", "\n".join(lines))).requirements == lines


def test_pyproject(tmp_path: Path) -> None:
    text = f'[project]\nname = "x"\nrequires-python = ">={OWN}"\ndependencies = ["numpy>=2", "pandas"]\n'
    assert read_request(write(tmp_path / "pyproject.toml", text)) == EnvironmentRequest(
        "requirements", "", ("numpy>=2", "pandas")
    )


def test_pyproject_for_another_python(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\nrequires-python = ">=3.29"\ndependencies = []\n'
    assert read_request(write(tmp_path / "pyproject.toml", text)).python == "3.29"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.poetry]\nname = 'x'\n", "none found"),
        ("[project]\nname = 'x'\ndynamic = ['dependencies']\n", "dynamic"),
        ("[project]\ndependencies = 'numpy'\n", "list of strings"),
        ("[project\n", "not TOML"),
        ("[project]\nrequires-python = 'new'\ndependencies = []\n", "not a version specifier"),
    ],
)
def test_pyproject_that_says_nothing(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadArtefact, match=says):
        read_request(write(tmp_path / "pyproject.toml", text))


def test_conda(tmp_path: Path) -> None:
    write(tmp_path / "more.txt", "httpx\n")
    text = """
name: scoring
channels: [conda-forge]
dependencies:
  - python=3.11.4
  - pip
  - numpy=1.26
  - conda-forge::scikit-learn>=1.3,<1.5
  - scipy=1.11.4=py311h64a7726_0
  - pytorch==2.1.0
  - pandas
  - pip:
      - onnxruntime==1.17
      - -r more.txt
"""
    assert read_request(write(tmp_path / "conda.yml", text)) == EnvironmentRequest(
        "requirements",
        "3.11",
        (
            "numpy==1.26.*",
            "scikit-learn>=1.3,<1.5",
            "scipy==1.11.4",
            "torch==2.1.0",
            "pandas",
            "onnxruntime==1.17",
            "httpx",
        ),
    )


@pytest.mark.parametrize(
    ("dependency", "says"),
    [
        ("- r-base\n  - cudatoolkit=11\n  - numpy", "no PyPI equivalent for r-base, cudatoolkit"),
        ("- numpy=1.25|1.26", "alternatives"),
        ("- numpy=>1", "version constraint"),
        ("- libgcc-ng\n  - python_abi=3.11\n  - librosa", "no PyPI equivalent for libgcc-ng, python_abi;"),
        ("- numpy[build=mkl*]", r"of what stands in brackets only version="),
        ("- numpy=1.2*", r"write 1\.2\.\*"),
        ("- npm: [left-pad]", "expected names or 'pip:'"),
        ("- 3", "not a conda dependency"),
    ],
)
def test_conda_without_equivalent_is_named_and_not_dropped(tmp_path: Path, dependency: str, says: str) -> None:
    with pytest.raises(BadArtefact, match=says):
        read_request(write(tmp_path / "conda.yml", f"dependencies:\n  {dependency}\n"))


@pytest.mark.parametrize(
    ("dependency", "line"),
    [
        ("librosa=0.11", "librosa==0.11.*"),
        ("numpy[version='>=1.26,<3']", "numpy>=1.26,<3"),
        ("numpy=*", "numpy"),
        ("numpy *", "numpy"),
        ("numpy>=1.26.*", "numpy>=1.26"),
        ("numpy!=2.0.*", "numpy!=2.0.*"),
        ("numpy=1.26.4.post1", "numpy==1.26.4.post1"),
        ("conda-forge/noarch::pytables 3.10.*", "tables==3.10.*"),
    ],
)
def test_conda_spellings(tmp_path: Path, dependency: str, line: str) -> None:
    assert read_request(write(tmp_path / "conda.yml", f"dependencies:\n  - {dependency}\n")).requirements == (line,)


@pytest.mark.parametrize("text", ["[]", "dependencies: numpy", "a: [", "variables: {A: b}\ndependencies: []"])
def test_conda_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadArtefact, match=r"env\.yaml: "):
        read_request(write(tmp_path / "env.yaml", text))


def test_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_request(Path("current")) == EnvironmentRequest()


def test_binary_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes(b"\xff\x00\x01")
    with pytest.raises(BadArtefact, match=r"r\.txt: cannot be read as text"):
        read_request(tmp_path / "r.txt")
    with pytest.raises(BadArtefact, match=r"none\.txt: no such file"):
        read_request(tmp_path / "none.txt")
