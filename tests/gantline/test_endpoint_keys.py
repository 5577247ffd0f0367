"""Keys of an endpoint: two secrets, either made anew without the other; and those of somebody's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.engine.key_folder import FILE, KeyFolder
from gantline.serve.keys import KeySet, Role, hashed, new_secret, parse

from gantline.endpoint_keys import OWN, anew, maker, rotated
from gantline.errors import UsageError


def known(folder: KeyFolder) -> KeySet:
    return parse((folder.mounted / FILE).read_text(), "it")


def test_either_is_made_anew_while_the_other_stays(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    fill = maker(True)
    assert fill is not None and fill(folder) == OWN
    first = {kind: folder.secret(kind) for kind in ("primary", "secondary")}
    assert all(known(folder).find(secret.encode()) for secret in first.values())
    new = rotated(folder, "primary")
    keys = known(folder)
    assert keys.find(new.encode()) and keys.find(first["secondary"].encode())
    assert not keys.find(first["primary"].encode())
    assert keys["endpoint"].role is Role.SCORE and folder.secret("primary") == new
    assert new not in (folder.mounted / FILE).read_text()


def test_a_file_is_taken_without_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    secret = 'primary = "a-secret-that-is-written-plainly"'
    file.write_text(f'[key.a]\nrole = "admin"\n{secret}\nmodels = ["x"]\ntenant = "t"\n')
    folder = KeyFolder(tmp_path)
    fill = maker(str(file))
    assert fill is not None and fill(folder) == str(file)
    assert "plainly" not in (folder.mounted / FILE).read_text()
    key = known(folder).find(b"a-secret-that-is-written-plainly")
    assert key is not None and (key.role, key.models, key.tenant) == (Role.ADMIN, frozenset(["x"]), b"t")
    assert maker(False) is None


@pytest.mark.parametrize(("text", "message"), [("", "no keys"), ("[key.a]\nrole = 'x'", "role: expected")])
def test_no_keys_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    for name in (file, tmp_path / "absent"):
        file.write_text(text)
        fill = maker(str(name))
        assert fill is not None
        with pytest.raises(UsageError, match=message if name == file else "cannot be read"):
            fill(KeyFolder(tmp_path))
    assert not (tmp_path / "keys").exists()


def test_those_that_a_cluster_keeps() -> None:
    """The other of two stays valid; one alone stays beside the new one."""
    first, second = new_secret(), new_secret()
    text = f'[key.ann]\nrole = "score"\nprimary = "{hashed(first)}"\n'
    text, third = anew(text, "primary", "", "it")
    assert all(parse(text, "it").find(secret.encode()) for secret in (first, third))
    text, fourth = anew(text, "primary", "ann", "it")
    keys = parse(text, "it")
    assert keys.find(first.encode()) and keys.find(fourth.encode()) and not keys.find(third.encode())
    text, fifth = anew(text, "secondary", "", "it")
    keys = parse(text, "it")
    assert keys.find(fourth.encode()) and keys.find(fifth.encode()) and not keys.find(first.encode())
    both = f'{text}\n[key.bob]\nrole = "admin"\nprimary = "{hashed(second)}"\nmodels = ["a"]\n'
    with pytest.raises(UsageError, match="it: has keys of ann, bob; --key says which"):
        anew(both, "primary", "", "it")
    with pytest.raises(UsageError, match="it: no key 'bop'"):
        anew(both, "primary", "bop", "it")
    after = parse(anew(both, "secondary", "bob", "it")[0], "it")
    assert after["bob"].role is Role.ADMIN and after["bob"].models == frozenset({"a"}) and after["ann"] == keys["ann"]
