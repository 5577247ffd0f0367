"""A keys file of three: one that scores, one that scores some models, and one that may do all."""

from __future__ import annotations

from pathlib import Path

SCORER, SOME, BOSS = (f"the-secret-of-{name}-in-full" for name in ("scorer", "some", "boss"))


def key_table(*models: str, tenant: str = "") -> str:
    """The file's text; `models`: which `some` may ask, in the name of `tenant`."""
    listed = ", ".join(f'"{name}"' for name in models)
    return f"""
[key.scorer]
role = "score"
primary = "{SCORER}"
[key.some]
role = "score"
primary = "{SOME}"
models = [{listed}]
tenant = "{tenant}"
[key.boss]
role = "admin"
primary = "{BOSS}"
"""


def write_keys(folder: Path, text: str) -> Path:
    """The file, readable by nobody else."""
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path
