"""Credentials: the places where docker and podman keep them, helpers as real programs, and variables."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gantline.errors import UsageError
from gantline.oci.credentials import Credential, Credentials, files

HELPER = """#!{python}
import json, sys
host = sys.stdin.read()
known = {known!r}
if sys.argv[1:] != ["get"] or host not in known:
    print("credentials not found in native keychain")
    sys.exit(1)
print(json.dumps({{"ServerURL": host, "Username": known[host][0], "Secret": known[host][1]}}))
"""


def packed(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def docker(folder: Path, tree: Any, **variables: str) -> Credentials:
    (folder / "config.json").write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return Credentials({"DOCKER_CONFIG": str(folder), "HOME": str(folder / "home"), **variables})


def helper(folder: Path, name: str, known: dict[str, tuple[str, str]]) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(HELPER.format(python=sys.executable, known=known))
    path.chmod(0o755)


@pytest.mark.parametrize(
    "key", ["h.example:5000", "https://h.example:5000", "https://h.example:5000/v1/", "H.example:5000/v2"]
)
def test_dockers_file(tmp_path: Path, key: str) -> None:
    found = docker(tmp_path, {"auths": {key: packed("ann", "a:b")}})
    assert found.find("h.example:5000", "iris") == Credential("ann", "a:b")
    assert found.find("h.example", "iris") is None


def test_docker_hubs_name(tmp_path: Path) -> None:
    found = docker(tmp_path, {"auths": {"https://index.docker.io/v1/": packed("ann", "x")}})
    assert found.find("docker.io", "library/iris") == Credential("ann", "x")


def test_the_longest_key_that_fits(tmp_path: Path) -> None:
    auths = {"h.example": packed("all", "1"), "h.example/team": packed("team", "2"), "h.example/team/x": {}}
    found = docker(tmp_path, {"auths": auths})
    assert found.find("h.example", "team/x") == Credential("team", "2")
    assert found.find("h.example", "teammate/x") == Credential("all", "1")


def test_other_forms(tmp_path: Path) -> None:
    auths = {"a.example": {"identitytoken": "tok"}, "b.example": {"username": "u", "password": "p"}}
    found = docker(tmp_path, {"auths": auths})
    assert found.find("a.example", "x") == Credential("", "", "tok")
    assert found.find("b.example", "x") == Credential("u", "p")
    assert "p" not in repr(found.find("b.example", "x"))[10:]
    wrapped = base64.encodebytes(b"user:" + b"p" * 100).decode()  # as the program base64 writes it, lines and all
    assert docker(tmp_path, {"auths": {"c.example": {"auth": wrapped}}}).find("c.example", "x") == Credential(
        "user", "p" * 100
    )


def test_podmans_files(tmp_path: Path) -> None:
    for folder, user in (("run/containers", "one"), ("home/.config/containers", "two")):
        (tmp_path / folder).mkdir(parents=True)
        name = f"{user}.example"
        (tmp_path / folder / "auth.json").write_text(json.dumps({"auths": {name: packed(user, "x")}}))
    environ = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    found = Credentials(environ)
    assert found.find("one.example", "x") == Credential("one", "x")
    assert found.find("two.example", "x") == Credential("two", "x")
    named = files({**environ, "REGISTRY_AUTH_FILE": "/named", "DOCKER_CONFIG": "/docker"})
    assert [str(p) for p in named[:2]] == ["/docker/config.json", "/named"]


@pytest.mark.skipif(sys.platform == "win32", reason="the helper is a script that the kernel starts")
def test_helpers(tmp_path: Path) -> None:
    helper(tmp_path, "mine", {"h.example": ("ann", "from helper"), "t.example": ("<token>", "tok")})
    tree = {"credHelpers": {"h.example": "mine"}, "credsStore": "mine", "auths": {"i.example": packed("b", "inline")}}
    found = docker(tmp_path, tree, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert found.find("h.example", "x") == Credential("ann", "from helper")
    assert found.find("t.example", "x") == Credential("", "", "tok")
    assert found.find("i.example", "x") == Credential("b", "inline")
    assert found.find("nowhere.example", "x") is None and found.troubles == []


@pytest.mark.skipif(sys.platform == "win32", reason="the helper is a script that the kernel starts")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"ServerURL": "", "Username": "", "Secret": ""}', ""),  # it has nothing
        ('{"Username": null, "Secret": null}', "answered no Username and Secret"),
        ("[]", "answered no Username and Secret"),
    ],
)
def test_helpers_that_know_nobody(tmp_path: Path, answer: str, told: str) -> None:
    program = tmp_path / "docker-credential-odd"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    found = docker(tmp_path, {"credsStore": "odd"}, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert found.find("h.example", "x") is None
    assert [t.endswith(told) for t in found.troubles] == [True] * bool(told)


def test_a_helper_of_no_possible_name(tmp_path: Path) -> None:
    found = docker(tmp_path, {"credsStore": "a\0b"}, PATH=str(tmp_path))
    assert found.find("h.example", "x") is None
    assert found.troubles[0].endswith("cannot be run")


def test_a_helper_that_is_absent_is_told(tmp_path: Path) -> None:
    found = docker(tmp_path, {"credsStore": "absent"}, PATH=str(tmp_path))
    assert found.find("h.example", "x") is None
    assert found.troubles == [f"docker-credential-absent, which {tmp_path}/config.json names, cannot be run"]


def test_variables_are_for_one_registry(tmp_path: Path) -> None:
    said = {"GANTLINE_REGISTRY_HOST": "https://h.example", "GANTLINE_REGISTRY_USER": "u"}
    with pytest.raises(UsageError, match="are set together, or none of them"):
        docker(tmp_path, {}, **said).find("h.example", "x")
    found = docker(tmp_path, {"auths": {"h.example": packed("file", "f")}}, **said, GANTLINE_REGISTRY_PASSWORD="p")
    assert found.find("h.example", "x") == Credential("u", "p")
    assert found.find("other.example", "x") is None


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ("{", "not JSON"),
        ({"auths": {"h.example": {"auth": "%%%"}}}, "is not base64 of USER:PASSWORD"),
        ({"auths": {"h.example": {"auth": base64.b64encode(b"nocolon").decode()}}}, "is not base64 of USER:PASSWORD"),
    ],
)
def test_files_that_are_damaged(tmp_path: Path, tree: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        docker(tmp_path, tree).find("h.example", "x")
    assert words in caught.value.message and "config.json" in caught.value.message


@pytest.mark.parametrize("tree", ["", "[]", {}, {"auths": None}, {"auths": {"h.example": {}}}, {"auths": []}])
def test_files_that_say_nothing(tmp_path: Path, tree: Any) -> None:
    assert docker(tmp_path, tree).find("h.example", "x") is None
