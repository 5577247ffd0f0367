"""`gantline deploy`: an image as a container platform is told to run it, or as it runs on this machine."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFound, UsageError
from ..exits import OK
from ..setting import nearest
from . import deploy_here, registered, transfer
from .show import print_json, table, write

if TYPE_CHECKING:
    from gantline.builders.deploy.description import Endpoint, ImageName, SecretKey
    from gantline.builders.deploy.documents import Written
    from gantline.builders.engine.record import Record

_SITE = ("namespace", "pull_secret", "gateway", "hostname")
TARGETS = (*deploy_here.TARGETS, "compose", "kubernetes", "kserve")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline deploy`."""
    add = parser.add_argument
    add(
        "ref",
        metavar="REF",
        help="an image in a registry: HOST/REPOSITORY:TAG, or @DIGEST; process, docker: as of run",
    )
    add("--to", required=True, choices=TARGETS, help="where it is to run, or what it is described for")
    add("-o", dest="output", type=Path, metavar="FILE|DIR", help="one file (*.yaml), or a directory (default: stdout)")
    add("--overwrite", action="store_true", help="replace what is at -o")
    add(
        "--file", type=Path, action="append", default=[], metavar="FILE",
        help="a description, or Azure ML's YAML of an endpoint or a deployment; may be repeated",
    )  # fmt: skip
    add("--image", action="append", default=[], metavar="NAME=REF", help="what one of several deployments runs")
    add("--name", default="", metavar="NAME", help="the endpoint, without --file (default: the repository's name)")
    add("--port", type=_port, metavar="N", help="of the endpoint, gRPC has the one after it (default: 8000)")
    add("--instances", default="", metavar="N[-M]", help="containers; from N to M by their load (default: 1)")
    add("--cpu", default="", metavar="N", help="processors that each asks for, 500m or 2 say (default: 500m)")
    add("--memory", default="", metavar="N", help="memory that each asks for, and gets at most (default: 512Mi)")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be repeated")
    add("--secret", action="append", default=[], metavar="VARIABLE=SECRET:KEY", help="one that the platform keeps")
    add("--keys-secret", default="", metavar="SECRET[:KEY]", help="the platform's secret with the file of API keys")
    add("--pull-secret", default="", metavar="SECRET", help="the cluster's secret by which it pulls the images")
    add("--namespace", default="", metavar="NAME", help="of the cluster (default: the one that is current there)")
    add("--gateway", default="", metavar="[NAMESPACE/]NAME", help="the cluster's, which routes by traffic's shares")
    add("--hostname", default="", metavar="NAME", help="what it is asked by, at that gateway")
    add("--by-tag", action="store_true", help="name images as given, where the platform has them already")
    add("--strict", action="store_true", help="fail if anything that is asked for is not applied")
    deploy_here.arguments(parser)
    add("--no-record", action="store_true", help="do not record in the registry which packages are deployed")
    registered.arguments(parser)
    transfer.connection(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read all, check all, and only then write."""
    from gantline.builders.deploy.here import not_applied
    from gantline.builders.deploy.targets import TARGETS as WRITERS

    if args.to not in deploy_here.TARGETS:
        deploy_here.refuse(args)
    endpoint, left_out = _endpoint(args)
    _check_named([d.name for d in endpoint.deployments], args.image)
    if args.to in deploy_here.TARGETS:
        if args.output is not None:
            raise UsageError(f"-o: with --to {args.to} nothing is written, it runs here; --dry-run says what would be")
        notes = (*left_out, *not_applied(endpoint, args.to))
        _heed(args, notes)
        deploy_here.run(args, endpoint, notes)
    else:
        written = WRITERS[args.to](endpoint)
        notes = (*left_out, *written.notes)
        _heed(args, notes)
        _deliver(args, endpoint, written, notes)
        _note(args, endpoint)
    return OK


def _note(args: argparse.Namespace, endpoint: Endpoint) -> None:
    """Have the registry know what will run there."""
    if not (args.no_record or args.dry_run):
        from ..registry.deployed import record_deployed

        record_deployed(endpoint.name, {d.name: d.image.name for d in endpoint.deployments}, args.to, args.registry)


def _check_named(names: list[str], given: list[str]) -> None:
    """An image for a deployment that is not there would be one that nobody runs."""
    for text in given:
        if (name := text.partition("=")[0]) not in names:
            raise UsageError(f"--image {text!r:.100}: no deployment {name!r:.60}; {nearest(name, names)}")


def _heed(args: argparse.Namespace, notes: tuple[str, ...]) -> None:
    """Say what is not applied; UsageError with --strict."""
    if args.strict and notes:
        raise UsageError(f"--strict: {len(notes)} not applied: {'; '.join(notes)}")
    for note in notes if not args.json else ():
        sys.stderr.write(f"{note}\n")


def _endpoint(args: argparse.Namespace) -> tuple[Endpoint, tuple[str, ...]]:
    from gantline.builders.azure_documents import read_documents
    from gantline.builders.deploy import azure, description_file
    from gantline.builders.deploy.description import Site
    from gantline.yaml_file import read_yaml

    image = _images(args)
    keys = _keys(args.keys_secret)
    flags = ("name", "port", "instances", "cpu", "memory", "env", "secret")
    if args.image and not args.file:
        raise UsageError("--image names what a file's deployments run; without --file that is REF")
    if not args.file:
        return _of_flags(args, image("", ""), keys), ()
    if said := next((flag for flag in flags if getattr(args, flag)), None):
        raise UsageError(f"--{said} and --file exclude each other: write it into the file")
    if absent := next((path for path in args.file if not path.is_file()), None):
        raise NotFound(f"--file {absent}: no such file")
    found = [(path, [d for d in read_documents(path) if d.path == path]) for path in args.file]
    if documents := [d for _, ds in found for d in ds if d.kind in ("endpoint", "deployment")]:
        if other := next((path for path, ds in found if not ds), None):
            raise UsageError(f"{other}: neither an endpoint nor a deployment of Azure ML's, as the others are")
        return azure.read(documents, image, keys, Site(*(getattr(args, key) for key in _SITE)))
    if len(args.file) > 1:
        raise UsageError(f"{args.file[1]}: a description is one file")
    for flag, key in (("keys_secret", "keys"), *zip(_SITE, _SITE, strict=True)):
        if getattr(args, flag):
            raise UsageError(f"--{flag.replace('_', '-')} and --file exclude each other: write `{key}` into the file")
    return description_file.read(read_yaml(args.file[0], careful=True), str(args.file[0]), image), ()


def _images(args: argparse.Namespace) -> Callable[[str, str], ImageName]:
    """From a deployment's name and what a file says of its image to that image."""
    from gantline.builders.deploy.description import ImageName
    from gantline.builders.deploy.image_name import find

    from ..oci.store import Store

    given = dict(_pair(text, "--image", "NAME=REF") for text in args.image)
    store = Store.of_user()
    wiring = transfer.wiring(args)

    def image(name: str, said: str) -> ImageName:
        if args.to in deploy_here.TARGETS:  # it is brought here, whatever it is a name of
            return ImageName(given.get(name) or said or args.ref, True)
        return find(given.get(name) or said or args.ref, store, wiring, args.by_tag)

    return image


def _of_flags(args: argparse.Namespace, image: ImageName, keys: SecretKey | None) -> Endpoint:
    from gantline.builders.deploy import description_file

    last = image.name.partition("@")[0].rpartition("/")[2].partition(":")[0]
    memory = {"memory": args.memory, "memory_limit": args.memory} if args.memory else {}
    low, dash, high = args.instances.partition("-")
    if args.instances and not (low.isdecimal() and (high.isdecimal() or not dash)):
        raise UsageError(f"--instances {args.instances!r:.40}: expected a number, or two as 2-10")
    secrets = {}
    for text in args.secret:
        variable, of = _pair(text, "--secret", "VARIABLE=SECRET:KEY")
        name, colon, key = of.partition(":")
        if not colon:
            raise UsageError(f"--secret {text!r:.100}: expected VARIABLE=SECRET:KEY")
        secrets[variable] = {"secret": name, "key": key}
    one: dict[str, Any] = {
        "resources": {**({"cpu": args.cpu} if args.cpu else {}), **memory},
        "environment": dict(_pair(text, "--env", "NAME=VALUE") for text in args.env),
        "secrets": secrets,
    }
    if args.instances:
        one["instances"] = {"min": int(low), "max": int(high or low)}
    if keys:
        one["keys"] = {"secret": keys.secret, "key": keys.key}
    name = args.name or last.lower().replace(".", "-").replace("_", "-")
    site = {key: getattr(args, key) for key in ("port", *_SITE) if getattr(args, key)}
    tree = {"endpoint": name, "deployments": {"main": one}, **site}
    return description_file.read(tree, "the command line", lambda _name, _said: image)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65534:
        raise argparse.ArgumentTypeError(f"{text!r:.20} is not a port, 1 to 65534")
    return int(text)


def _pair(text: str, flag: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise UsageError(f"{flag} {text!r:.100}: expected {form}")
    return name, value


def _keys(text: str) -> SecretKey | None:
    from gantline.builders.deploy.description import KEYS_FILE, SecretKey

    name, _, key = text.partition(":")
    return SecretKey(name, key or KEYS_FILE) if text else None


def _deliver(args: argparse.Namespace, endpoint: Endpoint, written: Written, notes: tuple[str, ...]) -> None:
    from gantline.builders.deploy.delivery import deliver
    from gantline.builders.deploy.documents import to_yaml

    path: Path | None = args.output
    if path is None and written.apart:
        raise UsageError(f"these {len(written.documents)} are applied one after the other; name a directory, by -o")
    made = deliver(written, path, args.overwrite) if path is not None else None
    kept = _keep(args, endpoint, path, made.first) if path is not None and made is not None else None
    gone = made.gone if made is not None else ()
    where, first = (shlex.quote(str(one)) for one in (path or "FILE", made.first if made is not None else "FILE"))
    following = written.next.format(path=where, file=first)
    following += "".join(f" && kubectl delete --ignore-not-found {one}" for one in gone)
    if kept is not None and not endpoint.site.namespace and (space := kept.details.get("namespace")):
        following = following.replace("kubectl ", f"kubectl --namespace {space} ")  # in which it is on record
    if args.json:
        found = {"documents": written.documents, "not_applied": list(notes), "next": following, "gone": list(gone)}
        print_json(found)
    elif made is None:
        write(to_yaml(written.documents.values()))
    else:
        rows = [("written", f"{path} ({len(written.documents)} documents)")]
        rows += [("kept", f"{one}: what somebody had edited") for one in made.edited]
        table([*rows, *(("gone", f"{one}: described no more") for one in gone)])
        write(f"\nnext:  {following}\n")


def _keep(args: argparse.Namespace, endpoint: Endpoint, path: Path, first: Path) -> Record | None:
    """`gantline endpoint` knows it from here on, where it can act on it."""
    from gantline.builders.deploy.program import can_act
    from gantline.builders.deploy.recorded import put, record

    from ..oci.store import Store

    if not can_act(args.to):
        return None
    made = record(endpoint, args.to, path, first, Store.of_user(), _again(args))
    if said := put(made):
        sys.stderr.write(f"{said}\n")
        return None
    return made


def _again(args: argparse.Namespace) -> list[str]:
    """The words that describe the same once more, but for REF and -o."""
    words = [word for path in args.file for word in ("--file", str(path.absolute()))]
    for flag in ("image", "env", "secret"):
        words += [word for value in getattr(args, flag) for word in (f"--{flag}", value)]
    for flag in ("name", "port", "instances", "cpu", "memory", "keys_secret", *_SITE):
        words += [f"--{flag.replace('_', '-')}", str(value)] if (value := getattr(args, flag)) else []
    return [*words, *(["--by-tag"] if args.by_tag else [])]
