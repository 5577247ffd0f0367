"""A worker works by the very settings that were resolved once, whatever the files say by then."""

from __future__ import annotations

from pathlib import Path

import orjson
from gantline.serve.process.handover import from_json, to_json

from gantline.settings import ServeSettings, resolve


def test_nothing_is_lost(tmp_path: Path) -> None:
    toml = tmp_path / "gantline.toml"
    toml.write_text(
        "[serve]\nmax_body_bytes='1MiB'\ntls_certificate='c.pem'\ntls_key='k.pem'\ndrain_s=2\n"
        "[model.m]\nmax_batch_size=8\ntimeout_s=1.5\n[model.'a.b']\nthreads=2\n"
    )
    before = resolve(ServeSettings, {"workers": "auto", "http_port": None}, {"GANTLINE_THREADS": "3"}, toml)
    toml.unlink()
    after = from_json(orjson.loads(orjson.dumps(to_json(before))))
    assert after == before and after.settings.workers == 0
    assert after.settings.tls_key == str(tmp_path / "k.pem")
    for name in ("m", "a.b", "other"):
        assert after.model(name, {"max_batch_size": 4}) == before.model(name, {"max_batch_size": 4})
    assert after.model("m").settings.timeout_s == 1.5 and after.model("m").settings.threads == 3
