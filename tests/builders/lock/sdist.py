"""Source archives, as small as they can be, with a build backend of their own: no index is asked for one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

_BACKEND = """
import zipfile
NAME, VERSION, TAG, BROKEN = {facts}

def get_requires_for_build_wheel(config_settings=None): return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    if BROKEN:
        raise SystemExit("the compiler says no")
    name = f"{{NAME}}-{{VERSION}}-{{TAG}}.whl"
    about = f"{{NAME}}-{{VERSION}}.dist-info"
    with zipfile.ZipFile(f"{{wheel_directory}}/{{name}}", "w") as z:
        z.writestr(zipfile.ZipInfo(f"{{NAME}}.py"), "built = True\\n")
        facts = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n"
        z.writestr(zipfile.ZipInfo(f"{{about}}/METADATA"), facts)
        z.writestr(zipfile.ZipInfo(f"{{about}}/WHEEL"), f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {{TAG}}\\n")
        z.writestr(zipfile.ZipInfo(f"{{about}}/RECORD"), "")
    return name
"""


def sdist(folder: Path, name: str, version: str, tag: str = "py3-none-any", broken: bool = False) -> Path:
    """Write `NAME-VERSION.tar.gz`; built, it is a wheel of that tag, or an error."""
    facts = repr((name, version, tag, broken))
    files = {
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n',
        "backend.py": _BACKEND.format(facts=facts),
    }
    return archive(folder, f"{name}-{version}", files)


def archive(folder: Path, called: str, files: Mapping[str, str]) -> Path:
    """Write `CALLED.tar.gz` with these files in its one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{called}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for inside, text in files.items():
            member = tarfile.TarInfo(f"{called}/{inside}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path
