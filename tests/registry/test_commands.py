"""The verbs about the registry, as people and programs type them; and REFs of a registry, wherever a REF may be."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gantline import references
from gantline.cli import main, serve
from gantline.errors import GantlineError, Unreachable, UsageError
from gantline.oci.descriptor import LAYER
from gantline.oci.image import write_manifest
from gantline.oci.store import Store
from gantline.packages import Package
from gantline.registry.registry import Registry
from tests.oci.faulty_registry import Registry as Images

MakePackage = Callable[..., Package]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ran(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command prints; its exit code must be 0."""
    monkeypatch.setenv("LOGNAME", "ann")

    def run(*words: object) -> str:
        code = main([str(w) for w in words])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return run


@pytest.fixture
def failed(capsys: Capture) -> Callable[..., tuple[int, str]]:
    """Exit code and the one line of an error."""

    def run(*words: object) -> tuple[int, str]:
        code = main([str(w) for w in words])
        out, err = capsys.readouterr()
        assert code != 0 and err.count("\n") == 1 and out == ""
        return code, err

    return run


def test_from_a_package_to_an_alias_and_back(ran: Callable[..., str], make: MakePackage, home: Path) -> None:
    one, two = make(factor=2, run="run-1"), make(factor=3)
    assert (
        ran("register", one.path, "--alias", "champion", "--tag", "a=b=c", "--property", "p=")
        == f"iris:1 {one.digest}\n"
    )
    assert ran("register", one.path) == f"iris:1 {one.digest}\n"
    told = json.loads(ran("register", two.path, "--parent", "iris:1", "--json"))
    assert (told["version"], told["created"], told["parent"]) == (2, True, one.digest)
    assert ran("promote", "iris:2", "champion") == "iris@champion is iris:2, was iris:1\n"
    assert json.loads(ran("promote", "iris", "challenger", "--json"))["was"] is None
    assert ran("rollback", "iris@champion", "--to", "1") == "iris@champion is iris:1, was iris:2\n"
    periods = json.loads(ran("history", "iris@champion", "--json"))
    assert [p["version"] for p in periods] == [1, 2, 1] and periods[-1]["until"] is None
    for period, version in zip(periods, (1, 2, 1), strict=True):
        assert ran("history", "registry://iris@champion", "--at", period["since"]) == f"iris:{version}\n"
        assert json.loads(ran("history", "iris@champion", "--at", period["since"], "--json"))["version"] == version
    assert "pointed at nothing then" in ran("history", "iris@champion", "--at", "2 weeks ago")
    assert ran("rollback", "iris@champion", "--to", periods[1]["since"]).startswith("iris@champion is iris:2")
    lines = ran("history", "iris@champion").splitlines()
    assert lines[0].split() == ["VERSION", "SINCE", "UNTIL", "BY"] and len(lines) == 5 and lines[-1].split()[2] == "now"
    log = ran("history", "iris").splitlines()
    assert len(log) == 8 and "register" in log[1] and "nothing -> 1" in log[2] and "rollback champion" in log[-1]
    assert len(ran("history", "iris:2").splitlines()) == 5
    digest = str(two.digest)
    assert digest not in "".join(log) and digest[:19] in "".join(log)  # a line for each, as `list` has it
    assert ran("promote", "iris:2", "champion") == "iris@champion is iris:2, was iris:2\n"
    assert (home / "registry.db").is_file() and (home / "store" / "oci-layout").is_file()


def test_lists(ran: Callable[..., str], make: MakePackage) -> None:
    ran("register", make().path, "--tag", "stage=live", "--alias", "champion", "--run", "r1")
    ran("register", make("wine", framework="torch").path, "--property", "team=x")
    lines = ran("list").splitlines()
    assert lines[0].split() == ["VERSION", "ALIASES", "FRAMEWORK", "SIZE", "REGISTERED", "DIGEST", "TAGS"]
    assert lines[1].startswith("iris:1   champion  sklearn") and lines[1].endswith("stage=live") and len(lines) == 3
    for flags, found in (
        (["--name", "wine"], ["wine:1"]), (["--tag", "stage"], ["iris:1"]), (["--tag", "stage=test"], []),
        (["--property", "team=x"], ["wine:1"]), (["--run", "r1"], ["iris:1"]), (["--framework", "torch"], ["wine:1"]),
        (["--latest"], ["iris:1", "wine:1"]),
    ):  # fmt: skip
        told = json.loads(ran("list", *flags, "--json"))
        assert [f"{v['name']}:{v['version']}" for v in told] == found


def test_a_terminal_gets_a_table(ran: Callable[..., str], make: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    ran("register", make().path, "--tag", "[red]x=y")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    out = ran("list")
    assert "─" in out and "iris:1" in out and "[red]x=y" in out


def test_a_trace_of_what_is_part_of_an_image_fits_a_screen(ran: Callable[..., str], make: MakePackage) -> None:
    package = make()
    ran("register", package.path)
    store = Store.of_user()
    layer = store.add(b"weights", LAYER)
    rootfs = {"type": "layers", "diff_ids": [layer.digest]}
    image = write_manifest(store, {"os": "linux", "architecture": "amd64", "rootfs": rootfs}, (layer,), {})
    store.name("iris:t", image.descriptor)
    with Registry.open() as registry:
        registry.record_image(package.digest or "", image.descriptor.digest, id=image.id, name="iris:t", platform="x")
    line = ran("history", "iris").splitlines()[-1]
    assert image.descriptor.digest[:19] in line and len(line) < 120
    lines = ran("trace", layer.digest).splitlines()
    assert lines[0].split() == ["layer", "1", layer.digest]
    assert lines[1].split() == ["of", "image", image.descriptor.digest]
    assert lines[3] == "version     iris:1"


def test_trace_and_inspect(ran: Callable[..., str], make: MakePackage) -> None:
    made = make(run="run-1")
    ran("register", made.path, "--tag", "stage=live", "--alias", "champion")
    out = ran("trace", made.digest)
    assert f"package     {made.digest}" in out and "run         run-1" in out
    assert "image       missing: `gantline build` records it" in out
    assert json.loads(ran("trace", "iris@champion", "--json"))["package"] == made.digest
    file = made.manifest.files[0]
    assert ran("trace", file.digest).splitlines()[1].split() == ["package", made.digest]
    shown = ran("inspect", "registry://iris@champion")
    for line in ("version     iris:1", "alias       champion", "tag         stage=live", "engine      onnx"):
        assert line in shown
    told = json.loads(ran("inspect", "registry://iris", "--json"))
    assert told["registered"]["tags"] == {"stage": "live"} and told["digest"] == made.digest
    assert "verified  iris" in ran("verify", "registry://iris:1")


def test_the_registry_itself(ran: Callable[..., str], make: MakePackage, tmp_path: Path) -> None:
    flags = ["--registry", tmp_path / "team"]
    assert ran("registry", "init", *flags, "--blobs", tmp_path / "b").splitlines()[1] == f"blobs     {tmp_path / 'b'}"
    assert "which was there" in ran("registry", "init", *flags)
    ran("register", make(factor=2).path, *flags)
    ran("register", make(factor=3).path, *flags, "--alias", "champion")
    assert "stage=live" in ran("registry", "tag", "iris:1", "stage=live", *flags)
    assert json.loads(ran("registry", "tag", "iris:1", "stage", *flags, "--json"))["tags"] == {}
    assert ran("registry", "release", "iris@champion", *flags) == "iris@champion is nothing, was iris:2\n"
    with Registry.open(tmp_path / "team") as registry:
        registry.record_deployment("flowers/main", registry.get("iris:1").digest, target="compose")
    assert ran("registry", "retire", "flowers", *flags) == "retired  flowers/main\n"
    assert "iris:1" in ran("registry", "remove", "iris:1", *flags)
    shown = ran("registry", "gc", "--dry-run", "--older-than", "0 seconds", *flags)
    assert shown.startswith("would remove  2 blobs") and "kept" in shown
    assert json.loads(ran("registry", "gc", *flags, "--json"))["blobs"] == []
    assert len(json.loads(ran("registry", "gc", "--older-than", "0 seconds", *flags, "--json"))["blobs"]) == 2
    assert json.loads(ran("registry", "gc", "--untagged", *flags, "--json"))["untagged"] == []
    assert ran("registry", "migrate", *flags) == f"{tmp_path / 'team'} has format 2, had 2\n"
    assert len(ran("history", "iris", *flags).splitlines()) == 10


ERRORS = [
    (["register", "/none"], 3, "not a Gantline package"),
    (["register", "{package}", "--tag", "a"], 2, "expected KEY=VALUE"),
    (["register", "{package}", "--alias", "7"], 2, "looks like a version"),
    (["register", "{package}", "--parent", "other"], 3, "no model 'other'"),
    (["promote", "iris:9", "champion"], 3, "has no version 9"),
    (["promote", "iris:1", "latest"], 2, "always stands for the newest"),
    (["rollback", "iris", "--to", "1"], 2, "expected NAME@ALIAS"),
    (["rollback", "iris@champion", "--to", "soon"], 2, "expected ISO 8601"),
    (["history", "irs"], 3, "did you mean 'iris'"),
    (["registry"], 2, "are required: ACTION; see"),
    (["list", "--registry", "a" * 300], 2, "File name too long; give another"),
    (["history", "iris", "--at", "1 day ago"], 2, "NAME@ALIAS"),
    (["inspect", "registry://iris@none"], 3, "has no alias 'none'; it has champion"),
    (["verify", "registry://iris:2"], 3, "has no version 2"),
    (["trace", "0123456789abcdef"], 3, "knows nothing of"),
    (["list", "--registry", "mysql://x"], 2, "expected a directory"),
    (["list", "--registry", "/proc/none"], 3, "there is none yet"),
    (["register", "{package}", "--registry", "/proc/none"], 2, "cannot be written"),
    (["registry", "gc", "iris"], 2, "takes no REF"),
    (["registry", "tag", "iris:1"], 2, "expected KEY=VALUE"),
    (["registry", "remove"], 2, "needs a REF"),
    (["registry", "init", "--dry-run"], 2, "are for gc"),
    (["registry", "init", "--untagged"], 2, "are for gc"),
    (["registry", "gc", "--blobs", "x"], 2, "is for init"),
    (["registry", "gc", "--older-than", "soon"], 2, "no length of time"),
    (["registry", "remove", "iris:1"], 2, "promote another version first"),
    (["registry", "retire", "flowers"], 3, "'flowers' is no recorded deployment"),
    (["serve", "registry://none"], 3, "no model 'none'"),
]


def test_each_error_is_one_line_with_the_way_out(
    ran: Callable[..., str], failed: Callable[..., tuple[int, str]], make: MakePackage
) -> None:
    package = make().path
    ran("register", package, "--alias", "champion")
    for words, code, why in ERRORS:
        got, line = failed(*(word.format(package=package) for word in words))
        assert (got, why in line) == (code, True), line
    assert len(Registry.open().history("iris")) == 2


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert references.local(str(tmp_path)) == tmp_path
    assert not references.is_registered("oci://x") and references.is_registered("registry://x")


def test_a_version_is_served_under_its_number(make: MakePackage, tmp_path: Path, home: Path) -> None:
    with Registry.open() as registry:
        registry.register(make(factor=2))
        version = registry.register(make(factor=5), alias="champion")
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "GANTLINE_HOME")}
    words = [
        sys.executable,
        "-m",
        "gantline",
        "serve",
        "--http-port",
        "0",
        "--no-grpc",
        "--json",
        "registry://iris@champion",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as server:
        assert server.stdout is not None
        try:
            url = json.loads(server.stdout.readline())["url"]
            body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
            found = asked(f"{url}/v2/models/iris/infer", body)
            assert (found["model_version"], found["outputs"][0]["data"]) == ("2", [5, 10, 15])
            with Registry.open() as registry:  # in use
                registry.release("iris", "champion")
                with pytest.raises(UsageError, match="iris:2 is served by"):
                    registry.remove(version.id)
                assert next(link for link in registry.trace("iris:2").links if link.what == "server").values
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
        finally:
            server.kill()
    with Registry.open() as registry:
        registry.remove(version.id)
        assert version.digest in registry.collect("0 seconds").blobs
    with pytest.raises(GantlineError, match="was removed"):
        references.local("registry://iris:2")


def test_a_package_of_a_registry_of_images_stays_while_it_is_used(
    ran: Callable[..., str], make: MakePackage, let_go: Callable[[str], None]
) -> None:
    ran("register", make().path)
    with Images().serving() as images:
        ref = f"oci://{images.host}/team/iris:1"
        package = make(factor=5)
        pushed = json.loads(ran("push", package.path, ref, "--json"))["digest"]
        images.seen.clear()
        told = json.loads(ran("inspect", ref, "--json"))
        assert told["digest"] == package.digest and told["path"] == ref
        assert not any(package.manifest.files[0].digest in str(one) for one in images.seen)  # its weights stay there
        with ThreadPoolExecutor(4) as pool:  # as several servers that start at once
            (path,) = set(pool.map(references.local, [ref] * 4))
    ran("registry", "gc", "--older-than", "0 seconds")
    assert Package.open(path).verify_files() == 2
    let_go(pushed)
    ran("registry", "gc", "--older-than", "0 seconds")
    assert not path.exists()


def test_a_registry_of_images_behind_a_certificate_of_ones_own(
    ran: Callable[..., str], failed: Callable[..., tuple[int, str]], make: MakePackage, tmp_path: Path
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is absent")
    own, key = tmp_path / "own.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    made = ["openssl", *words.split(), "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", own]
    subprocess.run([str(word) for word in made], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own, key)
    package = make()
    with Images().serving(tls) as images:
        ref = f"oci://{images.host}/team/iris:1"
        ran("push", package.path, ref, "--ca-file", own)
        for verb in ("inspect", "register"):
            assert str(package.digest) in ran(verb, ref, "--ca-file", own)
            assert "--ca-file" in failed(verb, ref)[1]
        parser = argparse.ArgumentParser()
        serve.arguments(parser)
        assert serve._places(parser.parse_args([ref, "--ca-file", str(own)]), None)[1] == []
        with pytest.raises(Unreachable, match="--ca-file"):
            serve._places(parser.parse_args([ref]), None)


def asked(url: str, body: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def test_what_is_not_installed(make: MakePackage, tmp_path: Path) -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None\nfrom gantline.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "list"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "type: pip install 'gantline[registry]'" in done.stderr
