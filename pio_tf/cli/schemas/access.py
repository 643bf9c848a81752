"""The JSON of pages and host keys."""

from __future__ import annotations

from typing import Annotated, TypedDict

from pio_tf.cli.schemas.common import Version


class PageData(TypedDict):
    """A page of Spark's."""

    name: str
    url: Annotated[str, "on this computer"]
    host: str
    port: int
    answers: bool


class PagesResult(TypedDict):
    """The pages that are brought here. Written when they are; the command goes on until it is ended."""

    version: Version
    pages: list[PageData]


class HostKeyData(TypedDict):
    """A pinned host key."""

    machine: Annotated[str | None, "null: Terraform does not know it"]
    id: Annotated[str, "the instance"]
    type: str
    fingerprint: str
    learned: Annotated[str, "how it came to be pinned"]


class HostKeysResult(TypedDict):
    """The pinned host keys."""

    version: Version
    file: str
    host_keys: list[HostKeyData]


class AcceptResult(TypedDict):
    """The host key that is pinned now."""

    version: Version
    machine: str
    fingerprint: str
    changed: Annotated[bool, "false: it was pinned before"]
