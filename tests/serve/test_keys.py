"""The keys file's format: what it holds, what is wrong with it, and that no error quotes a secret."""

from __future__ import annotations

import hashlib
import tomllib

import pytest
from gantline.serve.keys import MAX_KEYS, PREFIX, Key, Role, hashed, new_secret, parse, written

from gantline.errors import UsageError

PLAIN = "correct-horse-battery-staple"
OTHER = "another-horse-battery-staple"

FILE = f"""
[key.dashboard]           # a comment
role = "score"
primary = "{hashed(PLAIN)}"
secondary = "{OTHER}"
models = ["iris", "churn"]
tenant = "team-a"

[key.ops]
role = "admin"
primary = "ops-has-a-secret-of-its-own"
"""


def test_what_a_file_says() -> None:
    keys = parse(FILE, "keys.toml")
    assert keys.names == ["dashboard", "ops"] and len(keys) == 2
    digests = tuple(hashlib.sha256(s.encode()).digest() for s in (PLAIN, OTHER))
    assert keys["dashboard"] == Key("dashboard", Role.SCORE, digests, frozenset(("iris", "churn")), b"team-a")
    assert (keys["ops"].role, keys["ops"].models, keys["ops"].tenant) == (Role.ADMIN, None, b"")


def test_either_secret_finds_the_key_and_nothing_else_does() -> None:
    keys = parse(FILE, "keys.toml")
    assert keys.find(PLAIN.encode()) is keys.find(OTHER.encode()) is keys["dashboard"]
    assert keys.find(b"ops-has-a-secret-of-its-own") is keys["ops"]
    # what the file holds is not what opens
    for wrong in (b"", b"x", PLAIN.upper().encode(), PLAIN[:-1].encode(), hashed(PLAIN).encode(), b"\xff" * 5000):
        assert keys.find(wrong) is None


def test_a_new_secret_is_long_random_and_needs_no_quoting() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        assert secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 43
        assert secret.replace("_", "").replace("-", "").isalnum()


def entry(text: str) -> str:
    return f'[key.a]\nrole = "score"\nprimary = "{PLAIN}"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "k.toml: no keys; `gantline keys new` makes one"),
        ("[key]", "k.toml: no keys; `gantline keys new` makes one"),
        ("key = 3", "k.toml: no keys; `gantline keys new` makes one"),
        (f"[key.a]\nprimary = {PLAIN}\n", "k.toml: not TOML at line 2"),
        ("a = " + "[" * 5000, "k.toml: not TOML"),
        ("[keys.a]", "k.toml: unknown table 'keys'; did you mean 'key'?"),
        ("[key]\na = 1", "k.toml [key.a]: expected a table"),
        (f'[key."a b"]\nprimary = "{PLAIN}"', "k.toml [key.a b]: a name has at most 64 letters, digits, '-' and '_'"),
        (entry("primry = 1"), "k.toml [key.a]: unknown field 'primry'; did you mean 'primary'?"),
        (entry(f"{PLAIN} = 1"), "k.toml [key.a]: unknown field; known: role, primary, secondary, models, tenant"),
        ('[key.a]\nrole = "score"', "k.toml [key.a]: no primary secret"),
        (f'[key.a]\nprimary = "{PLAIN}"', 'k.toml [key.a] role: expected "score" or "admin"'),
        (f'[key.a]\nrole = "nobody"\nprimary = "{PLAIN}"', 'k.toml [key.a] role: expected "score" or "admin"'),
        (entry(f'secondary = "{PLAIN}"'), "k.toml [key.a]: primary and secondary are the same"),
        (entry(f'secondary = ["{OTHER}"]'), "k.toml [key.a] secondary: expected text"),
        (
            entry('secondary = "too-short"'),
            "k.toml [key.a] secondary: a secret has 20 or more visible ASCII characters, or is written as sha256:...",
        ),
        (
            entry(f'secondary = "{OTHER} "'),
            "k.toml [key.a] secondary: a secret has 20 or more visible ASCII characters, or is written as sha256:...",
        ),
        (
            entry(f'secondary = "{hashed(OTHER).upper().replace("SHA", "sha")}"'),
            "k.toml [key.a] secondary: expected 64 hexadecimal digits in lower case after 'sha256:'",
        ),
        (entry("models = []"), "k.toml [key.a] models: expected a list of model names"),
        (entry('models = "iris"'), "k.toml [key.a] models: expected a list of model names"),
        (entry("models = [1]"), "k.toml [key.a] models: expected a list of model names"),
        (entry("tenant = 7"), "k.toml [key.a] tenant: expected at most 128 visible ASCII characters"),
        (entry('tenant = "a b"'), "k.toml [key.a] tenant: expected at most 128 visible ASCII characters"),
        (
            entry("") + f'[key.b]\nrole = "admin"\nprimary = "{OTHER}"\nsecondary = "{hashed(PLAIN)}"',
            "k.toml [key.b]: has a secret of [key.a]; each needs its own",
        ),
    ],
)
def test_what_is_wrong_with_a_file(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "k.toml")
    assert caught.value.message == message
    chain: BaseException | None = caught.value
    while chain is not None:  # a traceback may be logged, and shows what the error came from
        assert not any(secret in str(chain) for secret in (PLAIN, OTHER, "too-short", hashed(OTHER)[7:]))
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)


def test_there_is_a_limit() -> None:
    many = "\n".join(f'[key.k{i}]\nrole = "score"\nprimary = "{hashed(str(i))}"' for i in range(MAX_KEYS + 1))
    with pytest.raises(UsageError, match=r"1001 keys, at most 1000"):
        parse(many, "k.toml")
    fewer = parse(many.replace(f"[key.k{MAX_KEYS}]", "[other]").partition("[other]")[0], "k.toml")
    assert fewer.find(b"999") is fewer["k999"]


def test_a_hash_is_a_toml_string() -> None:
    assert tomllib.loads(f'x = "{hashed(PLAIN)}"')["x"] == "sha256:" + hashlib.sha256(PLAIN.encode()).hexdigest()


def test_written_again_it_is_the_same_without_secrets() -> None:
    keys = parse(FILE, "keys.toml")
    text = written(keys)
    again = parse(text, "again")
    assert [again[name] for name in again.names] == [keys[name] for name in keys.names]
    assert OTHER not in text and "ops-has" not in text
