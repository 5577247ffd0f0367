"""`gantline inspect`: show what a package, an image, or a bare ONNX file is."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exits import OK
from ..home import home
from ..manifest import SequenceInfo
from ..packages import MANIFEST, SEALED, Package
from ..references import OCI, REGISTRY, is_registered, local
from . import explain, images, lock, registered, transfer
from .show import parity_line, print_json, size, table, tensor_line

if TYPE_CHECKING:
    from ..registry.version import Version


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline inspect`."""
    parser.add_argument(
        "ref",
        metavar="REF",
        help="a package, registry://NAME..., oci://HOST/..., an .onnx file, a lock, a folder of models, or an image: "
        "its name, digest or ID in the store, an archive, a layout",
    )
    explain.platform_argument(parser)
    registered.arguments(parser)
    transfer.connection(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if _is_image(args.ref):
        from gantline.builders.evidence.opened import open_image

        from ..oci.store import Store

        images.show(args.ref, open_image(args.ref, Store.of_user(), explain.platform_of(args)), args.json)
        return OK
    if args.ref.startswith(OCI):
        return _elsewhere(args)
    version = _version(args) if is_registered(args.ref) else None
    ref = args.ref if version is None else f"{REGISTRY}{version.id}"
    args.ref = local(ref, args.registry)
    if args.ref.suffix.lower() == ".onnx" and not args.ref.is_dir():
        return _onnx(args.ref, args.json)
    if args.ref.suffix.lower() == ".toml" and not args.ref.is_dir():
        return lock.show(args.ref, args.json)
    if args.ref.is_dir() and not (args.ref / MANIFEST).exists():
        return _repository(args.ref, args.json)
    _package(Package.open(args.ref), str(args.ref), version, args.json)
    return OK


def _elsewhere(args: argparse.Namespace) -> int:
    """Of a registry of images only what describes it is brought: no weights, no layers."""
    from ..oci.artifact import is_package
    from ..oci.glance import glance, package_of
    from ..oci.image import Image
    from ..oci.reference import Reference
    from ..oci.store import Store

    reference = Reference.parse(args.ref)
    with tempfile.TemporaryDirectory(prefix="gantline-inspect-") as folder:
        store = Store(home() / "store")
        found = store.find(str(reference)) if reference.digest else None
        if found is None or not is_package(store, found):  # what a digest names and is here is not asked for
            store = Store(Path(folder, "store")).prepared()
            found = glance(reference, store, explain.platform_of(args), transfer.wiring(args))
        if is_package(store, found):
            _package(package_of(store, found, Path(folder)), args.ref, None, args.json)
        else:
            images.show(args.ref, Image.open(store, found), args.json)
    return OK


def _package(package: Package, where: str, version: Version | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "path": where,
                "digest": package.digest,
                "manifest": package.manifest.to_json(),
                "lineage": package.lineage(),
                **({"registered": version.to_json()} if version is not None else {}),
            }
        )
    else:
        table([*(registered.rows(version) if version is not None else ()), *_rows(package)])


def _is_image(ref: str) -> bool:
    """A file or directory with images in it; what is no file, and has a name or a digest in the store."""
    from ..oci.reading import is_archive
    from ..oci.store import Store

    if is_registered(ref) or ref.startswith(OCI):
        return False
    path = Path(ref)
    if path.exists():
        return is_archive(path) and (path.is_dir() or path.suffix.lower() == ".tar" or ref.endswith(".tar.gz"))
    return ref.startswith("sha256:") or Store.of_user().find(ref) is not None


def _version(args: argparse.Namespace) -> Version:
    with registered.opened(args) as registry:
        return registry.get(args.ref)


def _repository(ref: Path, as_json: bool) -> int:
    """A directory of packages, or a Triton model repository, as `gantline serve` would find it."""
    from gantline.serve.repository_layout import find_entries

    models = [
        {
            "name": e.name,
            "version": e.version,
            "path": str(e.package.path) if e.package else "",
            "problem": e.problem,
            "not_acted_on": list(e.config.ignored) if e.config else [],
        }
        for e in find_entries([str(ref)])
    ]
    if as_json:
        print_json({"path": str(ref), "models": models})
        return OK
    rows: list[tuple[str, str]] = []
    for m in models:
        rows.append((f"{m['name']}:{m['version']}", str(m["problem"] or m["path"])))
        rows += [("  not acted on", key) for key in m["not_acted_on"]]
    table(rows)
    return OK


def _rows(package: Package) -> list[tuple[str, str]]:
    m = package.manifest
    rows = [("package", m.name), ("digest", package.digest or ""), ("engine", m.engine)]
    if m.engine_reason:
        rows.append(("why not ONNX", m.engine_reason))
    if m.source is not None:
        rows.append(("source", " ".join(p for p in (m.source.framework, m.source.type) if p)))
        rows += [("versions", f"{k} {v}") for k, v in sorted(m.source.versions.items())]
    if m.signature is not None:
        rows += [("inputs", tensor_line(t)) for t in m.signature.inputs]
        rows += [("outputs", tensor_line(t)) for t in m.signature.outputs]
    most = m.batching.max_batch_size
    rows.append(("batching", f"up to {most} rows" if most else "never stacked"))
    if m.sequences is not None:
        rows += _kept(m.sequences)
    if m.script is not None:
        yields = ", yields" if m.script.decoupled else ""
        rows.append(("script", f"{m.script.code}/{m.script.entry} ({m.script.contract}{yields})"))
        rows += [("may unpickle", p) for p in m.script.pickles]
        wanted = m.environment.requirements or ("the interpreter that serves it",)
        rows += [("environment", r) for r in wanted]
        rows += [("imports", f"{module} of {pins}") for module, pins in m.environment.found.items()]
    rows.append(("parity", parity_line(m)))
    if m.parity is not None:
        rows += [("per output", _output(name, found)) for name, found in m.parity.outputs.items()]
    rows += [("golden", f"{g.request} -> {g.reply}, rtol {g.rtol:g}, atol {g.atol:g}") for g in m.golden]
    rows += [("tried with", ", ".join(f"{name} {version}" for name, version in m.tried.items()))] if m.tried else []
    rows += [("note", note) for note in m.notes]
    rows += [("files", f"{f.path}  {size(f.size)}  {f.digest[:19]}...") for f in m.files]
    rows.append(("size", size(sum(f.size for f in m.files))))
    rows += [("lineage", f"{k}: {v}") for k, v in sorted(package.lineage().items()) if k != SEALED]
    return rows


def _kept(sequences: SequenceInfo) -> list[tuple[str, str]]:
    rows = [
        ("state", f"{output} -> {name}, {sequences.initial.get(name, 0.0):g} at first")
        for name, output in sequences.states.items()
    ]
    rows += [("control", f"{name} is {kind}") for name, kind in sequences.controls.items()]
    most = f"{sequences.max_sequences} at once, " if sequences.max_sequences else ""
    return [*rows, ("sequences", f"{most}over after {sequences.idle_s:g} s without a request")]


def _output(name: str, found: dict[str, float]) -> str:
    return (
        f"{name}: max relative error {found['max_rel_error']:.2g}, absolute {found['max_abs_error']:.2g}, "
        f"{found['label_flips']:.0f} label flips"
    )


def _onnx(path: Path, as_json: bool) -> int:
    from gantline.accelerators.onnx import open_model
    from gantline.builders.canonical import read_model

    model = read_model(path)
    signature = open_model(path).signature
    opsets = {(o.domain or "ai.onnx"): o.version for o in model.opset_import}
    about: dict[str, Any] = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opset": opsets,
        "nodes": len(model.graph.node),
        "size": path.stat().st_size,
    }
    if as_json:
        print_json({"path": str(path), "signature": signature.to_json(), **about})
        return OK
    rows = [("file", str(path)), ("producer", about["producer"] or "not said"), ("ir version", str(model.ir_version))]
    rows += [("opset", f"{domain} {version}") for domain, version in sorted(opsets.items())]
    rows += [("inputs", tensor_line(t)) for t in signature.inputs]
    rows += [("outputs", tensor_line(t)) for t in signature.outputs]
    rows += [("nodes", str(about["nodes"])), ("size", size(about["size"]))]
    table(rows)
    return OK
