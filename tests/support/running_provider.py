"""The AWS provider as a process that serves every Terraform of a test process, with a short schema.

Each `terraform plan` starts the provider three times, and reads the schema of all its types each time: half of the CPU
time. ``python -m tests.support.running_provider PROVIDER`` starts the provider once, with ``-debug``, as its authors do
in a debugger. Terraform finds it by TF_REATTACH_PROVIDERS (https://developer.hashicorp.com/terraform/plugin/debugging),
which the process prints. It passes on each call, but keeps the answers to calls that check a configuration: to check
that of the provider takes a quarter of a second each time, because the provider checks its whole schema, too. It also
keeps the answer with the schema, cut to the types of the modules. It ends with its input.

A provider has one configuration: all Terraforms at a time must have the same AWS and the same credentials.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r'^(?:resource|data) "(aws_\w+)"', re.MULTILINE)
_SCHEMA = "/tfplugin5.Provider/GetSchema"
_KEPT = frozenset(
    f"/tfplugin5.Provider/{name}"
    for name in (
        "GetSchema",
        "PrepareProviderConfig",
        "ValidateResourceTypeConfig",
        "ValidateDataSourceConfig",
        "UpgradeResourceState",
    )
)
"""Calls whose answers depend on the request alone."""
_RESOURCES, _DATA_SOURCES = 2, 3
"""Numbers of the maps in its answer (tfplugin5.proto)."""
_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@contextmanager
def running_provider(provider: Path, *, environment: Mapping[str, str] = _KEYS) -> Iterator[str]:
    """Run the provider during the block. Yield the value of TF_REATTACH_PROVIDERS.

    Args:
        environment: its AWS variables, and others that replace this process's. Default: the access key ``testing``.
    """
    command = [sys.executable, "-m", "tests.support.running_provider", str(provider)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | dict(environment)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=_ROOT, env=variables, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=60)


async def _serve(provider: str) -> None:
    """Serve until the end of standard input."""
    from grpc import aio

    with tempfile.TemporaryDirectory(prefix="provider-") as directory:  # a short path: it is the socket's
        # It lives as long as its process of tests, and its Go knows no GOMEMLIMIT: without a GOGC it takes gigabytes.
        settings = {"GOGC": "200", "PLUGIN_PROTOCOL_VERSIONS": "5", "TMPDIR": directory}
        environment = {**os.environ, **settings}
        process = subprocess.Popen(
            [provider, "-debug"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "TF_REATTACH_PROVIDERS=" in line)
            ((name, address),) = json.loads(line.partition("=")[2].strip().strip("'")).items()
            unlimited = [("grpc.max_receive_message_length", -1)]
            channel = aio.insecure_channel(f"unix:{address['Addr']['String']}", options=unlimited)
            server = aio.server(options=unlimited)
            server.add_generic_rpc_handlers((_handler(channel),))
            address |= {"Pid": os.getpid(), "Addr": {"Network": "unix", "String": f"{directory}/terraform"}}
            server.add_insecure_port(f"unix:{address['Addr']['String']}")
            await server.start()
            sys.stdout.write(json.dumps({name: address}) + "\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
            await server.stop(None)
            await channel.close()
        finally:
            process.kill()
            process.wait()


def _handler(channel: Any) -> Any:  # noqa: ANN401 - grpc has no types
    """Return what passes each call on to the provider, byte by byte."""
    import grpc

    @cache
    def call(method: str) -> Any:  # noqa: ANN401
        return channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)

    kept: dict[tuple[str, bytes], bytes] = {}

    async def answer(method: str, request: bytes, context: Any) -> bytes:  # noqa: ANN401
        if (method, request) in kept:
            return kept[method, request]
        try:
            # A Terraform that was killed wants no answer: its call is cancelled, and with it this one.
            answered = bytes(await call(method)(request))
        except grpc.RpcError as error:
            await context.abort(error.code(), error.details())
            raise
        if method == _SCHEMA:
            answered = _cut(answered, frozenset(_types()))
        if method in _KEPT:
            kept[method, request] = answered
        return answered

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:  # noqa: ANN401
            if details.method.startswith("/tfplugin5."):
                return grpc.unary_unary_rpc_method_handler(partial(answer, details.method))
            return None  # the calls of go-plugin between a program and its child

    return Handler()


def _types() -> Iterator[str]:
    for directory in ("terraform/modules", "pio_tf/infra"):
        for path in (_ROOT / directory).rglob("*.tf"):
            yield from _NAMED.findall(path.read_text(encoding="utf-8"))


def _cut(schema: bytes, types: frozenset[str]) -> bytes:
    """Return a GetProviderSchema.Response without other types of resources and data sources."""
    return b"".join(
        whole
        for number, whole, content in _fields(schema)
        # An entry of a map is a message, whose first field is the key.
        if number not in (_RESOURCES, _DATA_SOURCES) or next(_fields(content))[2].decode() in types
    )


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each field of a message of protobuf: its number, the whole field, and its content. All have a length."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        assert tag & 7 == 2, "a field without a length"
        length, position = _varint(message, position)
        yield tag >> 3, message[start : position + length], message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return a number, and the position behind it."""
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, position


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
