"""Reading an environment request from requirements.txt, pyproject.toml or a conda file; nothing is dropped silently."""

from __future__ import annotations

import codecs
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, UsageError
from gantline.manifest import EnvironmentRequest
from gantline.yaml_file import parse_yaml

# conda name -> PyPI name, where they differ
_CONDA_TO_PYPI = {
    "dask-core": "dask",
    "faiss": "faiss-cpu",
    "lightgbm-cpu": "lightgbm",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "pytables": "tables",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-tzdata": "tzdata",
    "python-xxhash": "xxhash",
    "python-zstd": "zstd",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "seaborn-base": "seaborn",
    "tensorflow-base": "tensorflow",
    "xgboost-cpu": "xgboost",
}
# conda packages that are no Python distribution; patterns are matched whole
_NOT_ON_PYPI = re.compile(
    r"r|r-.*|lib(?!archive-c$|cst$|ensemble$|neuroml$|pysal$|rosa$|tmux$|virt-python$).*|_.*|cuda.*|cudnn|nccl|openblas|blas|nomkl|gcc.*|gxx.*|clang.*|compilers|c-compiler|cxx-compiler"
    r"|openmpi|mpich|mpi|openssl|ca-certificates|ffmpeg|git|make|nodejs|openjdk|zlib|xz|bzip2|sqlite|tk|readline"
    r"|ncurses|glib|graphviz|hdf5|pytorch-cuda|pytorch-mutex|cpuonly|sysroot.*|vs20.*|binutils.*|perl|ruby|curl|wget"
    r"|python_abi|ld_impl.*|llvm-openmp|zstd|snappy|lz4-c|icu|jpeg|freetype|expat|krb5|krb5-.*|fftw|gmp|mpfr|boost-cpp"
)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_KINDS = "requirements.txt, pyproject.toml or conda.yml"
_CONDA_SPEC = re.compile(r"([A-Za-z0-9_.-]+)\s*(?:\[([^\]]*)\])?\s*(.*)")
_VERSION_KEY = re.compile(
    r"version\s*=\s*(['\"]?)([^'\"]*)\1"
)  # what brackets may say; a build has no spelling in PyPI
_INCLUDES = re.compile(r"(?P<how>-r|--requirement|-c|--constraint)(?:[\s=]\s*)?(?P<name>.+)")
_EDITABLE = re.compile(r"(?:-e|--editable)[\s=]\s*(?=[a-z+]+://)(?!file:)")
_FOUND_IN = re.compile(r"(?:-f|--find-links)[\s=]*['\"]?(\S+)")
_CONSTRAINTS = ("-c", "--constraint")
CONSTRAINT = "-c "  # what a line of a request begins with that holds down a version, and asks for nothing
_USER = re.compile(r"(?<=://)[^/\s]*@")  # name and password of an address
_KNOWN_USERS = re.compile(r"(?:git|hg|(?:[\w.-]*:)?\$\{[A-Z0-9_]+\}(?::\$\{[A-Z0-9_]+\})?)@")
_LOCAL = re.compile(r"(?:-e|--editable)\b|\.{1,2}/|/|file:|.*\.(?:whl|tar\.gz|zip)$|.*@\s*file:")


def read_request(path: Path) -> EnvironmentRequest:
    """What a file asks for: `*.toml` is a pyproject, `*.yml` a conda file, anything else a requirements file.

    `current` (where no such file exists) is this interpreter. BadArtefact names the file and the line at fault.
    """
    if str(path) == "current" and not path.exists():
        return EnvironmentRequest()
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _pyproject(path)
    if suffix in (".yml", ".yaml"):
        return _conda(path)
    return EnvironmentRequest("requirements", "", tuple(_requirements(path, ())))


def _text(path: Path) -> str:
    """The file's text; a mark of its encoding is heeded, as pip does (PowerShell writes UTF-16)."""
    try:
        data = path.read_bytes()
        return data.decode(next((codec for mark, codec in _MARKS if data.startswith(mark)), "utf-8"))
    except FileNotFoundError as e:
        raise BadArtefact(f"{path}: no such file; expected {_KINDS}") from e
    except (OSError, UnicodeDecodeError) as e:
        raise BadArtefact(f"{path}: cannot be read as text ({e}); expected {_KINDS}") from e


def _requirements(path: Path, inside: tuple[Path, ...], bound: bool = False) -> Iterator[str]:
    """The lines that pip would see, with included files in place and continued lines joined.

    `bound`: it is a file of constraints, of which each line becomes `-c LINE`, since its file does not travel.
    """
    real = path.resolve()
    if real in inside:
        raise BadArtefact(f"{path}: includes itself (-r, -c)")
    text = re.sub(r"\\\r?\n", " ", _text(path))
    for number, raw in enumerate(text.splitlines(), 1):
        line = " ".join(re.sub(r"(^|\s)#.*$", "", raw).split())
        if not line:
            continue
        yield from _line(line, path, f"{path}:{number}", (*inside, real), bound)


def _line(line: str, path: Path, where: str, inside: tuple[Path, ...], bound: bool) -> Iterator[str]:
    """One line of `path`: itself, or those of the file that it includes."""
    included = _INCLUDES.fullmatch(line)
    if included:
        # as in pip, what a file of constraints includes by -r is asked for
        yield from _requirements(_beside(path, included, where), inside, included["how"] in _CONSTRAINTS)
        return
    found = _portable(line, where)
    yield f"{CONSTRAINT}{found}" if bound and not found.startswith("-") else found


def _beside(path: Path, included: re.Match[str], where: str) -> Path:
    if "://" in included["name"]:
        raise BadArtefact(f"{where}: '{_without_user(included[0])}' is elsewhere; give the file itself")
    return path.parent / included["name"].strip()


def _portable(line: str, where: str) -> str:
    """The line, or BadArtefact if it means something only on this machine."""
    line = _EDITABLE.sub("", line)  # nobody edits what is in an image
    if any(not _KNOWN_USERS.fullmatch(user) for user in _USER.findall(line)):
        raise BadArtefact(
            f"{where}: '{_without_user(line)}' has a name or password in its address, which everybody who gets the "
            "package would see; write ${NAME} for it, set that variable where the environment is made, or use ~/.netrc"
        )
    requirement = line.split(" --hash", 1)[0].split(" ;", 1)[0]
    if _LOCAL.match(requirement) and "://" not in requirement.replace("file:", ""):
        raise BadArtefact(
            f"{where}: '{line}' is a path on this machine, which a package cannot carry; put the code in --code "
            "or name a published version"
        )
    if (found := _FOUND_IN.match(line)) and not re.match(r"[a-z+]+:|/|~|[A-Za-z]:|\$\{", found[1]):
        raise BadArtefact(
            f"{where}: '{line}' is a folder beside this file, which a package cannot carry; pass it to lock and build: "
            "--find-links DIR"
        )
    if "\0" in line or not re.match(r"[A-Za-z0-9-]|git\+|https?:", line):
        raise BadArtefact(f"{where}: '{line[:60]}' is not a requirement (as in numpy==2.1)")
    return line


def _without_user(line: str) -> str:
    return _USER.sub("", line)


def _pyproject(path: Path) -> EnvironmentRequest:
    try:
        tree = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as e:
        raise BadArtefact(f"{path}: not TOML ({e})") from e
    project = tree.get("project")
    if not isinstance(project, dict) or "dependencies" not in project:
        dynamic = isinstance(project, dict) and "dependencies" in project.get("dynamic", ())
        why = "they are dynamic" if dynamic else "none found"
        raise BadArtefact(f"{path}: expected a list [project] dependencies ({why}); give a requirements.txt instead")
    lines = _strings(project["dependencies"], f"{path}: [project] dependencies")
    wanted = str(project.get("requires-python", ""))
    return EnvironmentRequest(
        "requirements", _python_for(wanted, str(path)), tuple(_portable(x, str(path)) for x in lines)
    )


def _python_for(specifier: str, where: str) -> str:
    """Empty when this interpreter will do, else the lowest minor version that satisfies `requires-python`."""
    if not specifier:
        return ""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
    except ImportError as e:
        raise UsageError("reading requires-python needs 'packaging': pip install 'gantline[build]'") from e
    try:
        allowed = SpecifierSet(specifier)
    except InvalidSpecifier as e:
        raise BadArtefact(f"{where}: requires-python {specifier!r} is not a version specifier") from e
    if ".".join(map(str, sys.version_info[:3])) in allowed:
        return ""
    for minor in range(8, 30):
        if any(f"3.{minor}.{patch}" in allowed for patch in (0, 99)):
            return f"3.{minor}"
    raise BadArtefact(f"{where}: no Python 3 satisfies requires-python {specifier!r}")


def _conda(path: Path) -> EnvironmentRequest:
    tree = parse_yaml(_text(path), str(path))
    if not isinstance(tree, dict) or not isinstance(tree.get("dependencies"), list):
        raise BadArtefact(f"{path}: expected a conda environment with a list 'dependencies'")
    if tree.get("variables"):
        raise BadArtefact(f"{path}: 'variables' are not carried; set them in the script's init()")
    return _conda_request(tree["dependencies"], path)


def _conda_request(dependencies: list[Any], path: Path) -> EnvironmentRequest:
    python = ""
    lines: list[str] = []
    missing: list[str] = []
    for item in dependencies:
        if isinstance(item, Mapping):
            if set(item) != {"pip"}:
                raise BadArtefact(f"{path}: dependencies hold {dict(item)!s:.80}; expected names or 'pip:' with a list")
            lines += _pip_section(item["pip"], path)
            continue
        found = _CONDA_SPEC.fullmatch(str(item).split("::")[-1].strip()) if isinstance(item, str) else None
        if not found:
            raise BadArtefact(f"{path}: {item!r:.80} is not a conda dependency (as in numpy=2.1)")
        name, version = found[1].lower(), _bracketed(found[2], str(item), path) or found[3]
        if name == "python":
            python = _conda_python(version, path)
        elif _NOT_ON_PYPI.fullmatch(name):
            missing.append(name)
        elif name not in ("pip", "setuptools", "wheel"):  # what installs; the environment has its own
            lines.append(_CONDA_TO_PYPI.get(name, name) + _pypi_version(version, str(item), path))
    if missing:
        raise BadArtefact(
            f"{path}: no PyPI equivalent for {', '.join(missing)}; environments are made by pip: take them out, "
            "or install them on the system"
        )
    return EnvironmentRequest("requirements", python, tuple(lines))


def _bracketed(text: str | None, item: str, path: Path) -> str:
    """The version that a dependency's brackets say, as in numpy[version='>=1.2']."""
    if text is None:
        return ""
    found = _VERSION_KEY.fullmatch(text.strip())
    if not found:
        raise BadArtefact(f"{path}: {item!r}: of what stands in brackets only version='...' has a spelling in PyPI")
    return found[2]


def _pip_section(items: Any, path: Path) -> Iterator[str]:
    for line in _strings(items, f"{path}: pip"):
        yield from _line(line.strip(), path, str(path), (), False)


def _conda_python(version: str, path: Path) -> str:
    if not version:
        return ""
    exact = re.fullmatch(r"={1,2}\s*(3\.\d+)(?:\.[\d*]+)?(?:=\S*)?", version.strip())
    return exact[1] if exact else _python_for(_pypi_version(version, f"python{version}", path), str(path))


def _pypi_version(version: str, item: str, path: Path) -> str:
    """conda's version constraint in PyPI's spelling: `=1.2` is fuzzy, `=1.2=build` exact, commas mean and."""
    version = version.strip()
    if version.lstrip("= ") in ("", "*"):
        return ""
    if "|" in version:
        raise BadArtefact(f"{path}: {item!r}: alternatives (|) have no spelling in PyPI; choose one")
    built = re.fullmatch(r"={1,2}\s*([^=,\s]+)=\S+|([\d][^\s,=]*)\s+\S+", version)
    if built:
        return f"=={built[1] or built[2]}"
    return ",".join(_constraint(part.strip(), item, path) for part in version.split(","))


def _constraint(part: str, item: str, path: Path) -> str:
    match = re.fullmatch(r"(==|=|>=|<=|!=|~=|>|<)?\s*([0-9][A-Za-z0-9.!+*_-]*)", part)
    if not match:
        raise BadArtefact(f"{path}: {item!r}: cannot read the version constraint {part!r}")
    sign, number = match[1] or "==", match[2]
    if re.search(r"[^.]\*|\*.", number):
        raise BadArtefact(
            f"{path}: {item!r}: {number!r} (all that begins so) has no spelling in PyPI; write {number[:-1]}.*"
        )
    if sign == "=":  # of 1.24.post1 there is nothing below
        return f"=={number}" if not re.fullmatch(r"[\d.!]*\d", number) else f"=={number}.*"
    # conda passes over the star where it says nothing
    return f"{sign}{number}" if sign in ("==", "!=") else f"{sign}{number.removesuffix('.*')}"


def _strings(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise BadArtefact(f"{where}: expected a list of strings")
    return value
