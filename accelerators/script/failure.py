"""Failure: why a script did not load, in one line for the one who packages or serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gantline.errors import BadArtefact, GantlineError, ScriptFailed

if TYPE_CHECKING:
    from .supervise import Launch

# import name -> distribution, where they differ
DISTRIBUTIONS = {
    "attr": "attrs",
    "azureml": "azureml-core",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "google": "google-api-python-client",
    "jwt": "PyJWT",
    "PIL": "pillow",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def failed_to_load(name: str, facts: dict[str, Any], launch: Launch) -> GantlineError:
    """The error for what the host reports. BadArtefact when the script breaks the contract, else ScriptFailed."""
    if "error" in facts:  # from a keeper, which has found the words already
        kind = BadArtefact if facts["error"] == "BadArtefact" else ScriptFailed
        return kind(facts["text"])
    where = f"{facts['file']} line {facts['line']}" if facts["line"] else launch.config["entry"]
    if facts["contract"]:
        return BadArtefact(f"model '{name}': {launch.config['entry']}: {facts['text']}")
    if facts["module"]:
        return ScriptFailed(f"model '{name}': {where}: {missing(facts['module'], launch)}")
    text = f"{facts['type']}: {facts['text']}" if facts["text"] else facts["type"]
    return ScriptFailed(f"model '{name}': its script failed at {where}: {text}; the log has the traceback")


def missing(module: str, launch: Launch) -> str:
    """What to say of a module that is not there, with the command that adds it."""
    top = module.partition(".")[0]
    distribution = DISTRIBUTIONS.get(top, top.replace("_", "-"))
    what = f"module '{module}' is not in the package's environment"
    if launch.config["environment"] == "current":
        return f"{what}; add it: {launch.command[0]} -m pip install {distribution}"
    return f"{what}; add it: write {distribution} into the requirements and package again with --env FILE"
