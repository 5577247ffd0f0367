"""Pickles: never loaded in this process, and only where the user trusts the file.

The opcodes are read first (pickle_scan): what it holds, and the scikit-learn that made it. Then a child process with
just that version loads it and saves it as .skops, from which the way is that of from_sklearn: in this process when the
versions are the same, else in that environment. When the recorded version is the one installed here, the child is a
fresh process of this interpreter, and no environment is made.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from gantline.accelerators.script.environment import Environment, prepare, read_request

from gantline.errors import BadArtefact, Unavailable, Unsupported, UsageError
from gantline.manifest import EnvironmentRequest

from . import from_sklearn
from .boosters import FRAMEWORKS
from .isolated import Isolated
from .pickle_scan import Scan, scan
from .source import Conversion, Source

if TYPE_CHECKING:
    from packaging.requirements import Requirement

SUFFIXES = (".pkl", ".pickle", ".joblib")
TIMEOUT_S = 600
# what pickles of scikit-learn models refer to; _loss is the name under which 1.4 and 1.5 pickle sklearn._loss
_KNOWN = {"sklearn", "numpy", "scipy", "joblib", "pandas", "_loss"}
_LATER = {
    "keras": "Keras",
    "tensorflow": "TensorFlow",
}
_SAVE = "save the model by skops.io.dump(model, 'model.skops') and package that"
_CONVERTERS = ("skl2onnx", "onnx", "onnxruntime")


def recognises(source: Source) -> bool:
    """A file named as pickles are."""
    return source.path is not None and source.path.suffix.lower() in SUFFIXES


def convert(source: Source, work: Path) -> Conversion:
    """Load it in a child and convert what comes out. BadArtefact or UsageError says what to do where that cannot be."""
    path = source.path
    assert path is not None
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a pickle")
    if not source.trust_pickle:
        raise BadArtefact(
            f"{path}: is a pickle, and loading one runs whatever code its author put in it; if you trust the file pass "
            f"--trust-pickle, or {_SAVE}"
        )
    found = scan(path)
    boosters = sorted({n.module.split(".")[0] for n in found.names} & set(FRAMEWORKS))
    if boosters:
        return _boosted(source, path, boosters, work)
    _check_is_sklearn(found, path)
    made_with = _version_of(found, path)
    environment, same = _environment(source, found, made_with)
    saved = work / "unpickled.skops"
    types = _resave(path, saved, environment)
    inner = replace(source, path=saved, environment=None, trust=(*source.trust, *types))
    note = f"unpickled by scikit-learn {made_with} in a process of its own, because --trust-pickle was given"
    conversion = from_sklearn.convert(inner, work) if same else Isolated(environment, str(path)).convert(inner, work)
    conversion.notes = (*conversion.notes, note)
    return conversion


def wants_environment(path: Path) -> bool:
    """Whether it holds more than scikit-learn, so that --env has to say which versions of what."""
    found = scan(path)
    return bool({n.module.split(".")[0] for n in found.names} & set(FRAMEWORKS) or _foreign(found))


def _boosted(source: Source, path: Path, boosters: list[str], work: Path) -> Conversion:
    """A pickle with boosters in it, which does not say whose version made it: the user does, by --env."""
    names = " and ".join(FRAMEWORKS[b] for b in boosters)
    if source.environment is None:
        pins = " ".join(f"{b}==VERSION" for b in boosters)
        raise UsageError(
            f"{path}: holds models of {names}, and a pickle does not say which version made them; give --env a "
            f"requirements file with {pins}, or --env current for what is installed here"
        )
    request = read_request(source.environment)
    same = request.kind == "current"
    if not same:
        named = {r.name for r in _named(request.requirements)}
        beside = tuple(n for n in ("scikit-learn", "skops", *_CONVERTERS) if n not in named)
        request = replace(request, requirements=(*request.requirements, *beside))
    environment = prepare(request)
    saved = work / "unpickled.skops"
    types = _resave(path, saved, environment, boosters)
    inner = replace(source, path=saved, environment=source.environment if same else None, trust=(*source.trust, *types))
    conversion = from_sklearn.convert(inner, work) if same else Isolated(environment, str(path)).convert(inner, work)
    note = f"unpickled with the {names} of --env in a process of its own, because --trust-pickle was given"
    conversion.notes = (*conversion.notes, note)
    return conversion


def _check_is_sklearn(found: Scan, path: Path) -> None:
    """BadArtefact names what the pickle holds, when that is no scikit-learn estimator."""
    modules = {n.module.split(".")[0]: n for n in sorted(found.names, key=str)}
    kind = found.root_class
    top = kind.module.split(".")[0] if kind else ""
    for module, name in _LATER.items():
        if module in modules:
            raise Unsupported(f"{path}: holds {modules[module]}; {name} models are for a later version of Gantline")
    if "torch" in modules:
        raise BadArtefact(
            f"{path}: holds a torch object ({modules['torch']}); save it with torch.save(model.state_dict())"
        )
    if top != "sklearn":
        raise BadArtefact(f"{path}: expected a pickled scikit-learn estimator, found {found.described}")
    if "__main__" in modules:
        raise BadArtefact(
            f"{path}: needs {modules['__main__'].name}, which was defined in the script that saved it; move it to a "
            "module, or package the model behind a scoring script"
        )


def _version_of(found: Scan, path: Path) -> str:
    versions = sorted({v for _, v in found.versions})
    if len(versions) == 1 and re.fullmatch(r"\d+(\.\w+)*", versions[0]):
        return versions[0]
    if versions:
        raise BadArtefact(
            f"{path}: holds parts made with different scikit-learns ({', '.join(versions)[:100]}); {_SAVE}"
        )
    raise BadArtefact(f"{path}: does not say which scikit-learn made it; {_SAVE}")


def _environment(source: Source, found: Scan, made_with: str) -> tuple[Environment, bool]:
    """Where to load it, and whether that has this interpreter's scikit-learn. UsageError prints the pin."""
    ours = _installed("scikit-learn")
    foreign = _foreign(found)
    if source.environment is None or str(source.environment) == "current":
        if made_with == ours and not foreign:
            return prepare(EnvironmentRequest()), True
        if source.environment is not None:
            raise UsageError(
                f"{source.path}: was made with scikit-learn {made_with}, this interpreter has {ours or 'none'}; "
                f"leave --env out, or give one with scikit-learn=={made_with}"
            )
        if foreign:
            raise BadArtefact(
                f"{source.path}: needs {', '.join(foreign)} beside scikit-learn; give --env a requirements file with it"
            )
        request = EnvironmentRequest("requirements")
    else:
        request = read_request(source.environment)
    _check_agrees(request.requirements, made_with, source)
    request = replace(request, requirements=_requirements(request.requirements, found, made_with))
    try:
        return prepare(request), made_with == ours and not foreign
    except Unavailable as e:
        raise Unavailable(
            f"{source.path}: was made with scikit-learn {made_with}, and that cannot be installed here ({e.message}); "
            f"where it runs, {_SAVE}"
        ) from e


def _foreign(found: Scan) -> list[str]:
    """Modules that neither Python nor the libraries we know has."""
    ours = {*sys.stdlib_module_names, *_KNOWN, "copy_reg", "__builtin__"}
    return sorted({n.module.split(".")[0] for n in found.names} - ours)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _check_agrees(lines: Iterable[str], made_with: str, source: Source) -> None:
    asked = next((r for r in _named(lines) if r.name == "scikit-learn"), None)
    if asked is not None and not asked.specifier.contains(made_with, prereleases=True):
        raise UsageError(
            f"{source.environment}: asks for {asked}, but {source.path} was made with scikit-learn {made_with}; "
            f"pin scikit-learn=={made_with}"
        )


def _named(lines: Iterable[str]) -> Iterator[Requirement]:
    """The requirements that have a name, which is normalised; options and bare URLs have none."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for line in lines:
        try:
            found = Requirement(line.split(" --hash", 1)[0])
        except InvalidRequirement:
            continue
        found.name = canonicalize_name(found.name)
        yield found


def _requirements(lines: tuple[str, ...], found: Scan, made_with: str) -> tuple[str, ...]:
    """What loads and converts it: the recorded scikit-learn, a numpy and scipy of its time, and the converters."""
    from packaging.version import Version

    # 1.4.2 is the first that is built for numpy 2; numpy._core, where numpy 2 pickles its arrays, is in 1.26 too
    old, new_arrays = (
        Version(made_with) < Version("1.4.2"),
        any(n.module.startswith("numpy._core") for n in found.names),
    )
    wanted = {
        "scikit-learn": f"scikit-learn=={made_with}",
        "numpy": ("numpy>=1.26.1,<2" if new_arrays else "numpy<2") if old else "numpy>=2" if new_arrays else "numpy",
        "scipy": "scipy<1.12" if old else "scipy",
        **{name: name for name in ("skops", *_CONVERTERS)},
    }
    if any(n.module.split(".")[0] == "pandas" for n in found.names):
        wanted["pandas"] = "pandas"
    # a looser constraint of the user's stays beside the pin: pip takes both
    named = {r.name for r in _named(lines) if r.name != "scikit-learn" or str(r.specifier) == f"=={made_with}"}
    kept = [x for x in lines if x.strip().lower() != "scikit-learn"]
    # a source build of these takes half an hour and a compiler, and then fails
    binary = "--only-binary scikit-learn,numpy,scipy"
    return (*kept, *(w for name, w in wanted.items() if name not in named), binary)


def _resave(path: Path, saved: Path, environment: Environment, boosters: Iterable[str] = ()) -> list[str]:
    """Load the pickle in a child and save it as .skops; the library types in it that skops wants to be trusted."""
    report = saved.with_suffix(".json")
    script = Path(__file__).with_name("unpickle_child.py")
    command = [str(environment.python), "-I", str(script), str(path.resolve()), str(saved), str(report)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            env=environment.variables(os.environ),
            cwd=saved.parent,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise BadArtefact(f"{path}: loading it took more than {TIMEOUT_S} s") from e
    try:
        found = json.loads(report.read_bytes())
    except (OSError, ValueError) as e:  # killed, or it ended itself: os._exit, a crash in a C extension
        words = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:300]
        raise BadArtefact(f"{path}: the process that loaded it ended with code {done.returncode}: {words}") from e
    if "error" in found:
        where = "in that environment" if boosters else "by the scikit-learn that made it"
        raise BadArtefact(f"{path}: cannot be loaded {where}: {found['error']}")
    known = ("sklearn", "numpy", "scipy", "collections", *boosters)
    return [t for t in found["untrusted"] if t.split(".")[0] in known]
