"""Small Debian packages and an archive of them, served over HTTP as a mirror serves them."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# path -> bytes, link (text that starts with ->) or hard link (=)
Files = Mapping[str, bytes | str]


def tar_of(files: Files) -> bytes:
    """A tar with the folders that a package names, too."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        folders = sorted({str(p) for name in files for p in Path(name).parents if str(p) != "."})
        for name in folders:
            info = tarfile.TarInfo(f"./{name}/")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mode = 0o755 if "/bin/" in name else 0o644
            if isinstance(content, str):
                info.type = tarfile.SYMTYPE if content[0] == "-" else tarfile.LNKTYPE
                info.linkname = content.removeprefix("->").replace("=", "./", 1)
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def ar_of(members: Mapping[str, bytes]) -> bytes:
    """An ar archive as dpkg-deb writes it."""
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def tiny_deb(
    name: str, files: Files, version: str = "1.0-1", scripts: Mapping[str, bytes] | None = None,
    pack: Callable[[bytes], bytes] = lzma.compress, ending: str = ".xz", more: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """A package; `more` of its record."""
    record = {"Package": name, "Version": version, "Architecture": "amd64", **(more or {})}
    control = "".join(f"{key}: {value}\n" for key, value in record.items()).encode()
    head = gzip.compress(tar_of({"control": control, **(scripts or {})}))
    members = {"debian-binary": b"2.0\n", "control.tar.gz": head, f"data.tar{ending}": pack(tar_of(files))}
    return ar_of(members)


def archive(root: Path, debs: Mapping[str, tuple[bytes, Mapping[str, str]]], contents: str = "") -> None:
    """bookworm below `root`: file name -> package and its record in the index, and what its list of contents says."""
    folder = root / "dists" / "bookworm"
    records = []
    for file, (data, record) in debs.items():
        path = root / "pool" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows = {
            **record,
            "Filename": f"pool/{file}",
            "Size": str(len(data)),
            "SHA256": hashlib.sha256(data).hexdigest(),
        }
        records.append("".join(f"{key}: {value}\n" for key, value in rows.items()))
    files = {"main/binary-amd64/Packages.xz": lzma.compress("\n".join(records).encode())}
    if contents:
        files["main/Contents-amd64.gz"] = gzip.compress(contents.encode())
    lines = []
    for name, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        at = (folder / name).parent / "by-hash" / "SHA256" / digest
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(data)
        lines.append(f" {digest} {len(data)} {name}\n")
    (folder / "InRelease").write_text(f"Origin: Debian\nSuite: bookworm\nSHA256:\n{''.join(lines)}")


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a folder for a block; its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
