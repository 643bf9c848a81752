"""A web server that answers as Elasticsearch does, behind a driver: what it was asked is in its list."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import field

from pio_tf.config.storage import ElasticsearchNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

HOST = "127.0.0.2"
_SIGNS_AND_SERVES = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
"""Python 3.13 insists on a certificate's saying so."""


@dataclass(frozen=True)
class Question:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON may be anything
        return json.loads(self.body)


class Node(ElasticsearchNode, frozen=True):
    """One node that listens. ``answer`` gives a status and JSON (or bytes, for what is none) to each question."""

    questions: list[Question] = field(default_factory=list)


@asynccontextmanager
async def listening(
    answer: Callable[[Question], tuple[int, Any]],
    *,
    tls: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
    hangs: bool = False,
) -> AsyncIterator[Node]:
    """Run a node on HOST. ``hangs``: it takes every question and answers none."""
    questions: list[Question] = []
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = await _read(reader)
            questions.append(question)
            if hangs:
                await release.wait()
            status, said = answer(question)
            if login and question.headers.get("authorization") != _basic(*login):
                status, said = 401, _error("security_exception", f"unable to authenticate user [{login[0]}] for REST")
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            writer.write(f"HTTP/1.0 {status} X\r\ncontent-type: application/json\r\n\r\n".encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a client that does not trust us, or has waited long enough
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    yield Node(HOST, server.sockets[0].getsockname()[1], "https" if tls else "http", questions)
    release.set()
    server.close()
    await server.wait_closed()


def not_found(index: str) -> tuple[int, Any]:
    """Return the answer for a missing index."""
    return 404, _error("index_not_found_exception", f"no such index [{index}]")


def _error(kind: str, reason: str) -> dict[str, Any]:
    return {"error": {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def _read(reader: asyncio.StreamReader) -> Question:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    method, path, version = first.split(" ")
    assert version == "HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Question(method, path, headers, body)


def certificate(directory: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's TLS with a certificate for these hosts, and that of a client that trusts it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "search")])
    now = datetime.now(timezone.utc)
    day = timedelta(days=1)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_SIGNS_AND_SERVES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "search.pem"
    file.write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 and later have it by default
    return server, client


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
