"""An ``aws`` for tests: its ``start-session`` and ``open-tunnel`` carry a connection to a server on loopback."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.remote.known_hosts import KnownHosts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ssh_cluster import TestCluster

KEYS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}

_PROGRAM = """#!{python} -S
import json, os, select, signal, socket, sys
here = {here!r}
with open(here + "/calls", "a") as calls:
    keys = {{name: value for name, value in os.environ.items() if name.startswith("AWS_")}}
    calls.write(json.dumps([os.getpid(), sys.argv[1:], keys]) + "\\n")
failures = here + "/failures"
if os.path.exists(failures):
    messages = open(failures).read().splitlines()
    if messages:
        with open(failures, "w") as file:
            file.writelines(line + "\\n" for line in messages[1:])
        sys.exit("\\n" + messages[0])
target = next(after for name, after in zip(sys.argv, sys.argv[1:]) if name in ("--target", "--instance-id"))
try:
    far = socket.create_connection(tuple(json.load(open(here + "/routes"))[target]))
except OSError:
    sys.exit("Connection to destination port failed, check SSM Agent logs.")
pairs = {{0: far.fileno(), far.fileno(): 1}}
while True:
    for ready in select.select(list(pairs), [], [])[0]:
        data = os.read(ready, 65536)
        if not data:
            sys.exit(0)
        while data:
            data = data[os.write(pairs[ready], data) :]
"""


@dataclass(frozen=True)
class AwsCli:
    """The programs of AWS in a directory of their own.

    Args:
        routes: address and port of the server behind each instance id.
    """

    directory: Path

    @classmethod
    def install(cls, directory: Path, routes: dict[str, tuple[str, int]]) -> AwsCli:
        """Write the programs, and where they lead."""
        directory.mkdir()
        program = _PROGRAM.format(python=sys.executable, here=str(directory))
        for name, text in (("aws", program), ("session-manager-plugin", "#!/bin/sh\n")):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        (directory / "routes").write_text(json.dumps(routes))
        return cls(directory)

    def fail(self, *messages: str) -> None:
        """Let the next calls fail, each with one of these messages."""
        (self.directory / "failures").write_text("".join(f"{message}\n" for message in messages))

    @property
    def calls(self) -> list[tuple[int, list[str], dict[str, str]]]:
        """Process id, arguments and AWS's variables of every call."""
        calls: list[Any] = [json.loads(line) for line in (self.directory / "calls").read_text().splitlines()]
        return [(pid, arguments, variables) for pid, arguments, variables in calls]


@pytest.fixture
def aws(cluster: TestCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AwsCli:
    """Install AWS's CLI, which alone leads to the driver, and pin the driver's key."""
    KnownHosts(cluster.known_hosts).pin("i-driver", cluster.driver.host_key.convert_to_public(), "console")
    cli = AwsCli.install(tmp_path / "aws-cli", {"i-driver": ("127.0.0.1", cluster.port)})
    monkeypatch.setenv("PATH", str(cli.directory), prepend=":")
    for variable, value in KEYS.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_PROFILE", "another")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    (tmp_path / "aws-config").write_text("[profile another]\n")
    return cli
