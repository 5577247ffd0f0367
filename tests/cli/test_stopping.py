"""What a command leaves behind that is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gantline.cli.stopping import asked_to_stop
from gantline.oci.descriptor import MANIFEST


def test_within_a_block() -> None:
    with pytest.raises(KeyboardInterrupt), asked_to_stop():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_is_ignored_stays_so() -> None:
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with asked_to_stop():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    """Told to end while it reads an image whose manifest is a pipe, so that it waits where it is."""
    layout, own = tmp_path / "layout", tmp_path / "tmp"
    own.mkdir()
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    listed = {"mediaType": MANIFEST, "digest": "sha256:" + "0" * 64, "size": 5}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    os.mkfifo(blobs / ("0" * 64))
    environment = os.environ | {"GANTLINE_HOME": str(tmp_path / "home"), "TMPDIR": str(own)}
    command = [sys.executable, "-m", "gantline", "verify", str(layout)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        with (blobs / ("0" * 64)).open("wb"):  # which returns when it is read
            assert len(list(own.iterdir())) == 1
            process.terminate()
            assert process.wait(30) == 130
        assert process.stderr is not None and process.stderr.read() == b""
    assert not list(own.iterdir())
