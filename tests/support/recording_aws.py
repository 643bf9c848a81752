"""A local AWS that keeps what it was asked, with the tags that things had at that moment."""

from __future__ import annotations

import io
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from pio_tf.sandbox.aws import LocalAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ACCOUNT = "123456789012"
"""moto's."""
REGION = "us-east-1"
_SERVICE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/")
_ID = re.compile(r"(?:i|vol|vpc|subnet|sg|igw|rtb|eipalloc|key)-[0-9a-f]+")


@dataclass(frozen=True)
class Call:
    """A request as it came."""

    service: str
    operation: str
    """``RunInstances``; of S3 and Scheduler, the method."""
    path: str
    query: dict[str, str]
    parameters: dict[str, Any]
    by: str
    """``terraform`` or ``pio-tf``; empty: the test itself."""
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of everything in EC2 that it names, before it."""
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    """Further condition keys of what it names: of disks, by id; of a role, by name."""


class RecordingAws(LocalAws):
    """A recorder that keeps calls on request."""

    _calls: list[Call] | None = None

    def __enter__(self) -> RecordingAws:
        self.start()
        return self

    @contextmanager
    def recording(self) -> Iterator[list[Call]]:
        """Record the calls of Terraform and of pio-tf during the block."""
        calls: list[Call] = []
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = None

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        calls = self._calls
        if calls is not None:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            call = _read(environ, body)
            if call.by:
                calls.append(call)
        return super()._application(environ, start_response)


def _read(environ: dict[str, Any], body: bytes) -> Call:
    match = _SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = match[1] if match else ""
    agent = environ.get("HTTP_USER_AGENT", "")
    by = "terraform" if "Terraform" in agent else "pio-tf" if "pio-tf/" in agent else ""
    target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    parameters: dict[str, Any] = {}
    if target:
        parameters = json.loads(body)
    elif service in ("ec2", "iam", "monitoring", "sns", "sts"):
        parameters = dict(parse_qsl(body.decode()))
    elif service == "scheduler" and body:
        parameters = json.loads(body)
    return Call(
        service=service,
        operation=target or parameters.get("Action") or environ["REQUEST_METHOD"],
        path=unquote(environ["PATH_INFO"]),
        query=dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)),
        parameters=parameters,
        by=by,
        tags=_tags(parameters) if service == "ec2" else {},
        keys=_disks(parameters) if service == "ec2" else _roles(parameters) if service == "iam" else {},
    )


def _disks(parameters: dict[str, Any]) -> dict[str, dict[str, str]]:
    volumes = ec2_backends[ACCOUNT][REGION].volumes
    named = [volumes[value] for value in parameters.values() if value in volumes]
    return {
        one.id: {"ec2:Encrypted": str(bool(one.encrypted)).lower(), "ec2:VolumeType": one.volume_type} for one in named
    }


def _roles(parameters: dict[str, Any]) -> dict[str, dict[str, str]]:
    name, boundary = str(parameters.get("RoleName")), parameters.get("PermissionsBoundary")
    for role in iam_backends[ACCOUNT]["aws"].roles.values():
        if role.name == name:
            boundary = boundary or role.permissions_boundary_arn
    return {name: {"iam:PermissionsBoundary": boundary}} if boundary else {}


def _tags(parameters: dict[str, Any]) -> dict[str, dict[str, str]]:
    backend = ec2_backends[ACCOUNT][REGION]
    named = {value for value in parameters.values() if _ID.fullmatch(value)}
    association = parameters.get("AssociationId", "")
    if association:
        named |= {one.allocation_id for one in backend.addresses if one.association_id == association}
    return {name: dict(backend.tags.get(name, {})) for name in named}
