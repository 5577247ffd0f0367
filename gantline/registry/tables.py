"""The tables as queries see them. What makes them is in `schema`, step by step; a test compares the two.

SQLAlchemy's Core, not its ORM: a registry is a handful of statements whose transactions and locks matter, and rows that
never change hands; objects that track their own changes would hide both.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

METADATA = MetaData()


def _table(name: str, *columns: Column[int] | Column[str]) -> Table:
    return Table(name, METADATA, *columns)


def _text(name: str, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=null)


def _number(name: str, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=key, nullable=null, autoincrement=False)


def _long(name: str, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=null, autoincrement=False)


# one row: what the registry is. Whoever writes locks it, so there is one writer at a time
registry = _table("registry", _number("one", key=True), _number("format"), _text("blobs"), _long("created"))
packages = _table("packages", _text("digest", key=True), _text("engine"), _text("framework"), _long("size"))
files = _table("files", _text("package", key=True), _text("path", key=True), _text("digest"), _long("size"))
versions = _table(
    "versions", _text("name", key=True), _number("version", key=True), _text("package"), _long("created"), _text("who"),
    _text("run"), _text("training"), _text("lineage"), _text("parent"), _long("removed", null=True),
)  # fmt: skip
tags = _table(
    "tags", _text("name", key=True), _number("version", key=True), _text("key", key=True), _text("value")
)  # fmt: skip
properties = _table(
    "properties", _text("name", key=True), _number("version", key=True), _text("key", key=True), _text("value")
)  # fmt: skip
aliases = _table("aliases", _text("name", key=True), _text("alias", key=True), _number("version"))
images = _table(
    "images", _text("digest", key=True), _text("package", key=True), _text("id"), _text("name"), _text("platform"),
    _text("lock"), _long("created"),
)  # fmt: skip
deployments = _table(
    "deployments", _text("name", key=True), _text("package", key=True), _text("image"), _text("target"),
    _long("created"),
)  # fmt: skip
# what running servers say that they serve; each of them until its `until`
presences = _table(
    "presences", _text("server", key=True), _text("name", key=True), _number("version", key=True), _text("package"),
    _text("who"), _text("process"), _long("since"), _long("until"),
)  # fmt: skip
# blobs that somebody is about to refer to: garbage collection leaves them until then
claims = _table("claims", _text("owner", key=True), _text("digest", key=True), _long("until"))
events = _table(
    "events", _long("id", key=True), _long("at"), _text("who"), _text("action"), _text("name"),
    _number("version", null=True), _text("alias"), _text("was"), _text("became"),
)  # fmt: skip
