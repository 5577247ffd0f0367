"""`gantline keys`: what it prints once, what it writes, and that rotation changes nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from gantline.serve.keys import PREFIX, Role, hashed, parse

from gantline.cli import main

Captured = pytest.CaptureFixture[str]
HAND_MADE = """# the team's keys
[ key.dashboard ]  # read by people
models = ["iris"]
primary = "made-by-hand-and-in-plain"  # of 2024
role = "score"

[key.other]
role = "admin"
primary = "another-made-by-hand-one"
secondary = "and-yet-another-by-hand"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GANTLINE_KEYS", raising=False)
    return tmp_path / "keys.toml"


def test_a_new_key_is_shown_once_and_kept_as_a_hash(path: Path, capsys: Captured) -> None:
    words = ["keys", "new", "--name", "dashboard", "--keys", str(path)]
    assert main([*words, "--model", "iris", "--model", 'odd "name" \u00e9\U0001f600', "--tenant", "team-a"]) == 0
    out, err = capsys.readouterr()
    secret = out.strip()
    assert secret.startswith(PREFIX) and out == secret + "\n" and "shown once" in err and secret not in err
    text = path.read_text("utf-8")
    assert secret not in text and hashed(secret) in text
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600
    key = parse(text, "").find(secret.encode())
    assert key is not None and (key.name, key.role, key.tenant) == ("dashboard", Role.SCORE, b"team-a")
    assert key.models == frozenset({"iris", 'odd "name" \u00e9\U0001f600'})


def test_keys_are_added_to_what_is_there(path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(HAND_MADE)
    path.chmod(0o640)
    monkeypatch.setenv("GANTLINE_KEYS", str(path))
    assert main(["keys", "new", "--name", "ops", "--role", "admin", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {"name", "key", "entry", "file"} and made["file"] == str(path)
    text = path.read_text()
    assert text == HAND_MADE + "\n" + made["entry"] and made["key"] not in text
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o640
    keys = parse(text, "")
    found = keys.find(made["key"].encode())
    assert found is not None and found is keys["ops"] and found.role is Role.ADMIN
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_without_a_file_the_entry_is_printed(path: Path, capsys: Captured) -> None:
    assert main(["keys", "new", "--name", "ops", "--role", "admin"]) == 0
    secret, entry = capsys.readouterr().out.split("\n\n")
    assert parse(entry, "").find(secret.encode()) is not None
    assert not path.exists()


def test_rotation_keeps_the_old_secret_until_the_next(path: Path, capsys: Captured) -> None:
    path.write_text(HAND_MADE)
    secrets = [b"made-by-hand-and-in-plain"]
    keys = parse(HAND_MADE, "")
    for _ in range(3):
        assert main(["keys", "rotate", "--name", "dashboard", "--keys", str(path)]) == 0
        secrets.append(capsys.readouterr().out.strip().encode())
        keys = parse(path.read_text(), "")
        for i, secret in enumerate(secrets):
            assert keys.find(secret) is (keys["dashboard"] if i >= len(secrets) - 2 else None)
    assert keys["dashboard"].models == frozenset({"iris"}) and keys["other"] == parse(HAND_MADE, "")["other"]
    fresh = r'primary = "sha256:\w+"\nsecondary = "sha256:\w+"\n'
    was = re.escape(HAND_MADE).replace(re.escape('primary = "made-by-hand-and-in-plain"  # of 2024\n'), fresh)
    assert re.fullmatch(was, path.read_text())


def test_a_secret_that_was_lost_is_taken_out_at_once(path: Path, capsys: Captured) -> None:
    path.write_text(HAND_MADE)
    assert main(["keys", "rotate", "--name", "other", "--keys", str(path), "--revoke", "--json"]) == 0
    secret = json.loads(capsys.readouterr().out)["key"]
    keys = parse(path.read_text(), "")
    assert keys["other"].digests == parse(f'[key.x]\nrole="score"\nprimary="{secret}"', "")["x"].digests
    assert keys["dashboard"] == parse(HAND_MADE, "")["dashboard"]


def test_the_list(path: Path, capsys: Captured) -> None:
    path.write_text(HAND_MADE)
    assert main(["keys", "list", "--keys", str(path)]) == 0
    assert capsys.readouterr().out == "dashboard  score; 1 secret; models iris\nother      admin; 2 secrets\n"
    assert main(["keys", "list", "--keys", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        "name": "dashboard", "role": "score", "secrets": 1, "models": ["iris"], "tenant": ""
    }  # fmt: skip


INLINE = 'key.a = { role = "score", primary = "made-by-hand-and-in-plain" }\n'
LINES = '[key.a]\nrole = "score"\nprimary = """\\\n  made-by-hand-and-in-plain"""\n'


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        (["new"], HAND_MADE, "new needs --name"),
        (["new", "--name", "a b"], HAND_MADE, "a name has at most 64 letters"),
        (["new", "--name", "dashboard"], HAND_MADE, "has a key 'dashboard'; rotate it, or choose another --name"),
        (["new", "--name", "a", "--tenant", "a b"], HAND_MADE, "tenant: expected at most 128 visible ASCII"),
        (["new", "--name", "a", "--revoke"], HAND_MADE, "--revoke is for rotate"),
        (["new", "--name", "a"], "[key.b]\n", 'keys.toml [key.b] role: expected "score" or "admin"'),
        (["rotate", "--name", "dashbord"], HAND_MADE, "no key 'dashbord'; did you mean 'dashboard'?"),
        (["rotate", "--name", "other", "--role", "score"], HAND_MADE, "rotate changes secrets only"),
        (["rotate", "--name", "a"], INLINE, "[key.a] is not written as this command writes it; edit it by hand"),
        (["rotate", "--name", "a", "--revoke"], LINES, "edit it by hand"),
        (["list"], "[key.a]", 'role: expected "score" or "admin"'),
        (["list"], None, "no such file; `gantline keys new` makes it"),
        (["renew"], HAND_MADE, "invalid choice: 'renew'"),
    ],
)
def test_errors(path: Path, capsys: Captured, words: list[str], text: str | None, message: str) -> None:
    if text is not None:
        path.write_text(text)
    assert main(["keys", *words, "--keys", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1 and "by-hand" not in err.replace("edit it by hand", "")
    assert text is None or path.read_text() == text


def test_a_place_that_cannot_be_written(path: Path, capsys: Captured) -> None:
    assert main(["keys", "new", "--name", "a", "--keys", str(path / "x" / "y")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
    assert main(["keys", "list"]) == 2 and "list needs --keys FILE, or GANTLINE_KEYS" in capsys.readouterr().err
