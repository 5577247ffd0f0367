"""Where the dynamic loader looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gantline.builders.image.elf import Elf
from gantline.builders.image.loader import flat, library_folders, own_folders, triplet
from gantline.builders.image.tree import FILE, Node, Tree


def made(**texts: str) -> Tree:
    tree = Tree()
    tree.lay([(path, Node(FILE, text=text)) for path, text in texts.items()])
    return tree


def test_as_configured() -> None:
    tree = made(
        **{
            "etc/ld.so.conf": "# comment\ninclude /etc/ld.so.conf.d/*.conf\nhwcap 1 x\n/opt/own # why\n",
            "etc/ld.so.conf.d/b.conf": "/usr/local/lib\ninclude b.conf\n", "etc/ld.so.conf.d/a.conf": "/a\n",
            "etc/ld.so.conf.d/not": "/no\n",
        }
    )  # fmt: skip
    found = library_folders(tree, "amd64", {"LD_LIBRARY_PATH": "/first:/usr/local/lib:"})
    assert found[:4] == ("first", "usr/local/lib", "a", "opt/own"), "an include of itself ends"
    assert found[4:6] == ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
    assert library_folders(Tree(), "arm64", {})[0] == "lib/aarch64-linux-gnu"
    assert library_folders(Tree(), "other", {}) == ("lib64", "usr/lib64", "lib", "usr/lib") and triplet("other") == ""


def test_as_a_file_says_itself() -> None:
    elf = Elf("amd64", True, runpath=("$ORIGIN/../x.libs", "${ORIGIN}", "/opt/$LIB/a", "relative"), rpath=("/never",))
    assert list(own_folders(elf, "site/x/_x.so", "amd64")) == ["site/x.libs", "site/x", "opt/lib/x86_64-linux-gnu/a"]
    assert list(own_folders(Elf("amd64", True, rpath=("/r",)), "x.so", "amd64")) == ["r"]
    assert flat("/a/../../b/./c//") == "b/c"


@pytest.mark.skipif(
    not Path("/sbin/ldconfig").exists() or sys.platform != "linux", reason="this machine has no ldconfig"
)
def test_this_machine_finds_its_libraries_there() -> None:
    from gantline.oci.platforms import Platform

    tree = Tree()
    for path in (Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").glob("*.conf")):
        tree.lay([(str(path).strip("/"), Node(FILE, text=path.read_text()))])
    shown = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    cached = {line.rpartition("=> /")[2].rpartition("/")[0] for line in shown.splitlines() if "=> /" in line}
    plain = {folder for folder in cached if "hwcaps" not in folder}
    assert plain and plain <= set(library_folders(tree, Platform.of_this_machine().architecture, {}))
