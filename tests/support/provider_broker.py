"""AWS providers that run already, one for each set of AWS variables with which a Terraform is started.

A provider takes its credentials from the environment that its Terraform hands on. Where a test proves which credentials
a job's Terraform has, one provider cannot serve all: a program asks here for the one that has been started with exactly
the variables of its caller.
"""

from __future__ import annotations

import marshal
import socketserver
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.support.running_provider import running_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = """\
#!{python} -IS
# Prints the TF_REATTACH_PROVIDERS of a provider that was started with the AWS variables of this process.
import _socket, marshal, os

server = _socket.socket(_socket.AF_UNIX)
server.connect({address})
server.sendall(marshal.dumps({{name: os.environ[name] for name in os.environ if name.startswith("AWS_")}}))
server.shutdown(_socket.SHUT_WR)
while part := server.recv(4096):
    os.write(1, part)
"""


@contextmanager
def provider_broker(provider: Path, directory: Path) -> Iterator[Path]:
    """Serve during the block. Yield the program that prints TF_REATTACH_PROVIDERS for its environment.

    Args:
        directory: an empty one with a short path, for that program and a socket. It is the home of the providers, so
            that they find no credentials but those of their variables.
    """
    running: dict[frozenset[tuple[str, str]], str] = {}
    lock = threading.Lock()

    def find(variables: dict[str, str]) -> str:
        key = frozenset(variables.items())
        with lock:
            if key not in running:
                environment = {"HOME": str(directory), **variables}
                running[key] = providers.enter_context(running_provider(provider, environment=environment))
            return running[key]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(find(marshal.loads(self.rfile.read())).encode())  # noqa: S302 - from the program

    address, program = directory / "socket", directory / "find-provider"
    program.write_text(_PROGRAM.format(python=sys.executable, address=repr(str(address))), encoding="utf-8")
    program.chmod(0o755)
    with ExitStack() as providers, socketserver.ThreadingUnixStreamServer(str(address), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        try:
            yield program
        finally:
            server.shutdown()
