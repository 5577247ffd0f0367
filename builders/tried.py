"""Tried: the distributions that a package was compared and tried with, so that its images have them on any machine.

They are in the manifest, beside the errors and answers that were measured with them: another numpy may give others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from importlib import metadata

from gantline.accelerators.script.environment import prepare

from gantline.errors import BadArtefact
from gantline.manifest import Manifest
from gantline.packages import Package

from .lock.asked import normalised
from .lock.imports import found_here

_ENGINES = {"onnx": ("onnxruntime",), "torch": ("torch",)}
_TOOLS = ("pip", "setuptools", "wheel", "gantline")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def tried_with(package: Package, elsewhere: bool) -> dict[str, str]:
    """Name -> version, sorted: what the engine runs on; for a script what it imports, and what that needs in turn.

    `elsewhere`: it was run in the environment that it asks for. Empty for a script that was not run and asks for one.
    """
    manifest = package.manifest
    script = manifest.script
    if script is None:
        return _here(("numpy", *_ENGINES.get(manifest.engine, ())))
    if manifest.environment.kind == "current":
        return _with_needs([*_named(manifest.environment.found.values()), "numpy"])
    if not manifest.golden:
        return {}
    if elsewhere or script.contract != "tensors":
        made = prepare(manifest.environment).packages
        return _plain({n: v for n, v in made.items() if normalised(n) not in _TOOLS})
    return _with_needs([*_named(_found(package).values()), "numpy"])


def with_record(package: Package, elsewhere: bool) -> Manifest:
    """The manifest with what is known of versions by now."""
    manifest = package.manifest
    if manifest.script is not None and manifest.environment.kind == "current":
        manifest = replace(manifest, environment=replace(manifest.environment, found=_found(package)))
    return replace(manifest, tried=tried_with(replace(package, manifest=manifest), elsewhere))


def _found(package: Package) -> dict[str, str]:
    try:
        return found_here(package)
    except BadArtefact:  # a file that is no Python of this version: whoever imports it will say so
        return {}


def _named(lines: Iterable[str]) -> list[str]:
    return [pin.partition("==")[0] for line in lines for pin in line.split()]


def _with_needs(names: Iterable[str]) -> dict[str, str]:
    """These and all that they need and is here; markers are not looked at, since what is not here is left out."""
    waiting, seen = list(names), set()
    while waiting:
        name = normalised(waiting.pop())
        if name in seen or name in _TOOLS:
            continue
        seen.add(name)
        try:
            needs = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue
        waiting += [found[0] for line in needs if "extra ==" not in line and (found := _NAME.match(line))]
    return _here(sorted(seen))


def _here(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return _plain(found)


def _plain(found: dict[str, str]) -> dict[str, str]:
    """2.13.0+cpu is one build of 2.13.0, which indexes need not have."""
    return {normalised(name): version.partition("+")[0] for name, version in sorted(found.items())}
