"""Every layer of a setting's value, and every way to get one wrong."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gantline.errors import UsageError
from gantline.setting import settings_of
from gantline.settings import (
    ModelSettings,
    Resolved,
    ServeSettings,
    add_arguments,
    find_toml,
    flags_of,
    resolve,
)

NAMES = list(settings_of(ServeSettings))


def serve(
    flags: dict[str, str | None] | None = None,
    environ: dict[str, str] | None = None,
    toml: Path | str | None = None,
) -> Resolved[ServeSettings]:
    return resolve(ServeSettings, flags or {}, environ or {}, toml)


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path for a gantline.toml; the working directory has none."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "elsewhere.toml"


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_are_the_dataclass_and_say_so() -> None:
    resolved = serve()
    assert resolved.settings == ServeSettings()
    assert set(resolved.origins.values()) == {"default"}
    assert list(resolved.origins) == NAMES
    assert resolved.settings.max_body_bytes == 64 * 1024 * 1024


def test_flag_beats_environment_beats_file_beats_default(toml: Path) -> None:
    toml.write_text("[serve]\nhttp_port = 1\ngrpc_port = 1\nthreads = 1\n")
    environ = {"GANTLINE_HTTP_PORT": "2", "GANTLINE_GRPC_PORT": "2"}
    resolved = serve({"http_port": "3", "grpc_port": None}, environ, toml)
    s = resolved.settings
    assert (s.http_port, s.grpc_port, s.threads, s.workers) == (3, 2, 1, 1)
    assert [resolved.origins[n] for n in ("http_port", "grpc_port", "threads", "workers")] == [
        "flag --http-port",
        "environment GANTLINE_GRPC_PORT",
        f"{toml} [serve] threads",
        "default",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_can_be_given_in_all_three_places(name: str, toml: Path) -> None:
    one = settings_of(ServeSettings)[name]
    text = _another_value(name)
    expected = one.read(text, "here")
    assert expected != one.default
    toml.write_text(f'[serve]\n{name} = "{text}"\n')
    rest: dict[str, str | None] = {"no_auth": "true"} if name == "host" else {}
    if name.startswith("tls_"):
        rest = {"tls_certificate": "/c.pem", "tls_key": "/k.pem"}
    if name == "load_model":
        rest = {"model_control": "explicit"}
    if name == "poll_s":
        rest = {"model_control": "poll"}
    if name in ("memory", "unload_after_s"):
        rest = {"load": "on-demand"}
    if name == "keyless":
        rest = {"keys": "/keys.toml"}
    for resolved in (
        serve({**rest, name: text}),
        serve({k: v for k, v in rest.items() if k != name}, {one.variable: text}),
        serve({k: v for k, v in rest.items() if k != name}, {}, toml),
    ):
        assert getattr(resolved.settings, name) == expected
        assert resolved.origins[name] != "default"


def _another_value(name: str) -> str:
    one = settings_of(ServeSettings)[name]
    if one.choices:
        return next(c for c in one.choices if c != one.default)
    if isinstance(one.default, bool):
        return "true"
    if isinstance(one.default, str):
        return {"host": "10.0.0.1", "tenants": "gold=3", "versions": "latest:2"}.get(name, "/other")
    return "7" if one.high is not None and one.high <= 1000 else "1024"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64MiB", 64 << 20), ("64 mib", 64 << 20), ("2K", 2048), ("2kB", 2000), ("1.5GiB", 3 << 29), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert serve({"max_body_bytes": text}).settings.max_body_bytes == size


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("http_port", "80.5"),
        ("http_port", "http"),
        ("http_port", ""),
        ("workers", "-1"),
        ("workers", "Auto"),
        ("max_body_bytes", "0"),
        ("max_body_bytes", "64XB"),
        ("memory", "0.5"),
        ("max_body_bytes", "MiB"),
        ("keep_alive_s", "nan"),
        ("keep_alive_s", "inf"),
        ("keep_alive_s", "-0.1"),
        ("keep_alive_s", "5s"),
        ("no_pickle", "maybe"),
        ("log_level", "loud"),
        ("host", "a\0b"),
    ],
)
def test_a_bad_value_names_its_place_and_what_is_right(name: str, text: str) -> None:
    with pytest.raises(UsageError) as flag:
        serve({name: text})
    one = settings_of(ServeSettings)[name]
    assert flag.value.message.startswith(f"flag {one.flag}: {text!r} is not {one.expected}")
    with pytest.raises(UsageError, match=f"^environment {one.variable}:"):
        serve({}, {one.variable: text})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("http_port = true", "True is not a whole number from 0 to 65535"),
        ("http_port = 80.5", "80.5 is not a whole number"),
        ("access_log = 2", "2 is not true or false"),
        ("host = 8000", "8000 is not an address or a name"),
        ("keep_alive_s = [1]", "[1] is not a number"),
        ("max_body_bytes = -5", "-5 is not a size"),
        ("log_level = false", "False is not one of debug"),
    ],
)
def test_a_file_keeps_to_the_types(line: str, told: str, toml: Path) -> None:
    toml.write_text(f"[serve]\n{line}\n")
    with pytest.raises(UsageError) as caught:
        serve(toml=toml)
    assert f"{toml} [serve] {line.split()[0]}: {told}" in caught.value.message


def test_a_file_may_give_whole_numbers_for_seconds(toml: Path) -> None:
    toml.write_text("[serve]\nkeep_alive_s = 5\n")
    assert serve(toml=toml).settings.keep_alive_s == 5.0


@pytest.mark.parametrize(
    ("flags", "environ", "told"),
    [
        ({"htp_port": "1"}, {}, "flag: unknown setting 'htp_port'; did you mean 'http_port'?"),
        ({}, {"GANTLINE_HTTP_PROT": "1"}, "unknown setting 'GANTLINE_HTTP_PROT'; did you mean 'GANTLINE_HTTP_PORT'?"),
        ({}, {"GANTLINE_HOMES": "x"}, "did you mean 'GANTLINE_HOME'?"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(
    flags: dict[str, str | None], environ: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        serve(flags, environ)
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\n", "unknown setting 'server'; did you mean 'serve'?"),
        ("[serve]\nworker = 2\n", "[serve]: unknown setting 'worker'; did you mean 'workers'?"),
        ("[model.iris]\nthread = 2\n", "[model.iris]: unknown setting 'thread'; did you mean 'threads'?"),
        ("[model.iris]\nthreads = -2\n", "[model.iris] threads: -2 is not a whole number"),
        ("[model.iris.v2]\nthreads = 2\n", 'a name with a dot is quoted: [model."iris.v2"]'),
        ("serve = 3\n", "[serve]: expected a table, found 3"),
        ("[model]\niris = 3\n", "[model.iris]: expected a table, found 3"),
        ("[serve\n", "not TOML"),
        ("x = '\x01'\n", "not TOML"),
    ],
)
def test_a_file_that_says_something_else(text: str, told: str, toml: Path) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError) as caught:
        serve(toml=toml)
    assert caught.value.message.startswith(str(toml))
    assert told in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        serve({}, {}, tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        serve({}, {}, tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"[serve]\nhost = '\xff'\n")
    with pytest.raises(UsageError, match="not TOML"):
        serve({}, {}, tmp_path / "latin.toml")


def test_variables_that_kubernetes_injects_are_not_ours() -> None:
    injected = {
        "GANTLINE_SERVICE_HOST": "10.0.0.1",
        "GANTLINE_SERVICE_PORT": "8000",
        "GANTLINE_SERVICE_PORT_HTTP": "8000",
        "GANTLINE_PORT": "tcp://10.0.0.1:8000",
        "GANTLINE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "GANTLINE_PORT_8000_TCP_PROTO": "tcp",
        "GANTLINE_PORT_8000_TCP_ADDR": "10.0.0.1",
        "GANTLINE_HTTP_PORT": "tcp://10.0.0.1:8000",  # of a Service named gantline-http
    }
    assert serve({}, injected).settings == ServeSettings()


def test_other_variables_of_ours_are_let_be() -> None:
    assert serve({}, {"GANTLINE_URL": "http://h", "GANTLINE_HOME": "/h", "HOME": "/root"}).settings == ServeSettings()


def test_the_file_is_found_here_or_named(tmp_path: Path) -> None:
    assert find_toml({}) is None
    Path("gantline.toml").write_text("[serve]\nthreads = 3\n")
    assert serve().settings.threads == 3
    other = tmp_path / "other.toml"
    other.write_text("[serve]\nthreads = 4\n")
    assert serve({}, {"GANTLINE_CONFIG": str(other)}).settings.threads == 4
    assert serve({}, {"GANTLINE_CONFIG": str(other)}, "gantline.toml").settings.threads == 3


def test_what_is_wrong_in_a_file_of_another_name_names_that_file(tmp_path: Path) -> None:
    other = tmp_path / "{0}.toml"
    other.write_text("[serve]\nthreads = 2\n[model.m]\nthreads = 4\n")
    resolved = serve({}, {}, other)
    assert resolved.origins["threads"] == f"{other} [serve] threads"
    assert resolved.model("m").origins["threads"] == f"{other} [model.m] threads"
    assert (resolved.model("m").settings.threads, resolved.model("n").settings.threads) == (4, 2)
    with pytest.raises(UsageError, match=r"^flag --host: '' is not an address or a name"):
        serve({"host": "", "no_auth": "true"})


def test_a_path_in_a_file_starts_where_the_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "g.toml").write_text('[serve]\ntls_certificate = "cert.pem"\ntls_key = "/abs/key.pem"\n')
    s = serve({}, {}, folder / "g.toml").settings
    assert s.tls_certificate == str(folder / "cert.pem")
    assert s.tls_key == "/abs/key.pem"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_leave(host: str) -> None:
    assert ServeSettings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_an_address_that_others_reach_needs_keys_or_leave(host: str) -> None:
    for file in ("", "tls.pem"):  # a certificate says who the server is, not who may ask it
        with pytest.raises(UsageError, match=r"^host .*give --keys .*or --no-auth$"):
            ServeSettings(host=host, tls_certificate=file, tls_key=file)
    assert ServeSettings(host=host, no_auth=True).host == host
    assert ServeSettings(host=host, keys="keys.toml").host == host


def test_keys_and_no_auth_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="give one of them"):
        ServeSettings(keys="keys.toml", no_auth=True)


def test_certificate_and_key_go_together() -> None:
    with pytest.raises(UsageError, match="both or neither"):
        ServeSettings(tls_certificate="c")
    with pytest.raises(UsageError, match="both or neither"):
        ServeSettings(tls_key="k")


def test_settings_made_in_code_are_held_to_the_same_bounds() -> None:
    with pytest.raises(UsageError, match=r"^http_port: 70000"):
        ServeSettings(http_port=70000)
    wrong: Any = "8000.5"
    with pytest.raises(UsageError, match=r"^http_port"):
        dataclasses.replace(ServeSettings(), http_port=wrong)


def test_a_models_layers(toml: Path) -> None:
    toml.write_text("[serve]\nthreads = 2\ntimeout_s = 7\n[model.iris]\nthreads = 5\nmax_batch_size = 9\n")
    resolved = serve({}, {"GANTLINE_MEMORY_LIMIT": "1GiB"}, toml)
    iris = resolved.model("iris", package={"max_batch_size": 64, "max_queue_rows": 50}, pbtxt={"max_queue_rows": 60})
    assert iris.settings == ModelSettings(
        threads=5, max_batch_size=9, max_queue_rows=50, timeout_s=7.0, memory_limit=1 << 30
    )
    assert {name: origin for name, origin in iris.origins.items() if origin != "default"} == {
        "threads": f"{toml} [model.iris] threads",
        "max_batch_size": f"{toml} [model.iris] max_batch_size",
        "max_queue_rows": "package max_queue_rows",
        "timeout_s": f"{toml} [serve] timeout_s",
        "memory_limit": "environment GANTLINE_MEMORY_LIMIT",
    }
    other = resolved.model("other", pbtxt={"max_batch_size": 4})
    assert (other.settings.threads, other.settings.max_batch_size) == (2, 4)
    assert other.origins["max_batch_size"] == "config.pbtxt max_batch_size"


def test_a_flag_beats_a_models_table(toml: Path) -> None:
    toml.write_text("[model.iris]\nthreads = 5\n")
    iris = serve({"threads": "1"}, {}, toml).model("iris")
    assert (iris.settings.threads, iris.origins["threads"]) == (1, "flag --threads")


def test_a_package_with_a_bad_value_is_named() -> None:
    with pytest.raises(UsageError, match=r"^package max_batch_size: -1"):
        serve().model("iris", package={"max_batch_size": -1})


def test_one_flag_for_each_setting() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser, ServeSettings)
    args = parser.parse_args(["--http-port", "9", "--no-pickle", "--access-log", "--no-access-log"])
    flags = flags_of(args, ServeSettings)
    assert list(flags) == NAMES
    given = {name: text for name, text in flags.items() if text is not None}
    assert given == {"http_port": "9", "no_pickle": "true", "access_log": "false"}
    help_text = parser.format_help()
    assert all(one.flag in help_text for one in settings_of(ServeSettings).values())


def test_a_switch_undoes_a_file(toml: Path) -> None:
    toml.write_text("[serve]\nno_pickle = true\n")
    parser = argparse.ArgumentParser()
    add_arguments(parser, ServeSettings, only=("no_pickle",))
    resolved = serve(flags_of(parser.parse_args(["--pickle"]), ServeSettings), {}, toml)
    assert resolved.settings.no_pickle is False
    assert resolved.origins["no_pickle"] == "flag --no-pickle"


def test_a_word_that_stands_for_a_number(tmp_path: Path) -> None:
    toml = tmp_path / "gantline.toml"
    toml.write_text("[serve]\nworkers = 'auto'\n")
    one = settings_of(ServeSettings)["workers"]
    assert (one.placeholder, one.show(0), one.show(2)) == ("N|auto", "auto", "2")
    assert resolve(ServeSettings, {}, {}, toml).settings.workers == 0
    assert resolve(ServeSettings, {"workers": "2"}, {}, toml).settings.workers == 2


def test_a_pulse_is_not_judged_in_less_than_a_second() -> None:
    assert [serve({"worker_timeout_s": t}).settings.worker_timeout_s for t in ("0", "1", "90")] == [0.0, 1.0, 90.0]
    with pytest.raises(UsageError, match=r"worker_timeout_s 0\.5: give 1 at least, or 0 for never"):
        serve({"worker_timeout_s": "0.5"})


def test_shares_of_tenants() -> None:
    assert serve({"tenants": "gold=3, free=0.5"}).settings.weights == {b"gold": 3.0, b"free": 0.5}
    for wrong in ("gold", "gold=", "gold=0", "gold=x", "gold=1001"):
        with pytest.raises(UsageError, match=r"tenants: .* is not NAME=SHARE"):
            serve({"tenants": wrong})
    with pytest.raises(UsageError, match="tenants: 'a' is there twice"):
        serve({"tenants": "a=1,a=2"})
