"""Machines whose Spark master and workers can be small programs: for tests that do not train with Spark.

Such a machine's `java` looks for a file as it starts. If it is there, a master or worker is this program, which knows
what pio-tf asks for: the list of workers that are connected, and no application. All other programs, and without that
file these too, run on Java. A start of machines then takes 0.3 s of CPU time instead of four.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import struct
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pio_tf.sandbox.machine import MachineSpec, SandboxMachine

MACHINES = f"{__name__}:make_machine"
"""For the sandbox's option ``--machine``."""
MARK = "without-spark"
"""The file, in the sandbox's directory."""
_JAVA = """\
#!/bin/bash
if [[ -e @mark@ && " $* " = *" org.apache.spark.deploy."@(master.Master|worker.Worker)" "* &&
  " $* " != *" org.apache.spark.launcher.Main "* ]]; then
  exec @python@ -IS @program@ "$@"
fi
exec @java@ "$@"
"""
_REFUSED = b"java.lang.IllegalStateException: Expected SaslMessage, received something else"
_REFUSAL = struct.pack(">QBQI", 21 + len(_REFUSED), 5, 1, len(_REFUSED)) + _REFUSED
"""A master's answer to a message without the cluster's secret: an RpcFailure in a frame."""


def make_machine(spec: MachineSpec) -> SandboxMachine:
    """Return a machine of a sandbox."""
    from pio_tf.sandbox.machine import SandboxMachine
    from pio_tf.sandbox.software import find_software

    sandbox = spec.directory.parents[1]
    software, java = find_software(), sandbox / "java-or-not"
    program = java / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    for entry in software.java.iterdir():
        if entry.name != "bin" and not (java / entry.name).exists():
            (java / entry.name).symlink_to(entry)
    write_java(program, java=software.java / "bin" / "java", mark=sandbox / MARK)
    return SandboxMachine(replace(spec, software=replace(software, java=java)))


def write_java(program: Path, *, java: Path, mark: Path) -> None:
    """Write a ``java`` that is a small program in place of a master or worker while the file ``mark`` exists."""
    words = {"mark": mark, "python": sys.executable, "program": Path(__file__).resolve(), "java": java}
    text = _JAVA
    for word, path in words.items():
        text = text.replace(f"@{word}@", shlex.quote(str(path)))
    program.write_text(text)
    program.chmod(0o755)


async def be_master(host: str, port: int, page_port: int) -> None:
    """Take the workers that connect, and show them on the page ``/json/``."""
    workers: list[dict[str, Any]] = []

    async def register(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        if first == b"{":
            worker = json.loads(first + await reader.readline())
            workers.append(worker)
            with suppress(ConnectionError):
                await reader.read()  # until the worker ends
            worker["state"] = "DEAD"
        elif first:  # else it was a look whether this listens
            writer.write(_REFUSAL)
            await writer.drain()
        writer.close()

    async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            status = {"url": f"spark://{host}:{port}", "workers": workers, "activeapps": [], "status": "ALIVE"}
            body = json.dumps(status).encode()
            head = ("HTTP/1.1 200 OK", "Content-Type: text/json", f"Content-Length: {len(body)}", "Connection: close")
            writer.write("\r\n".join((*head, "", "")).encode() + body)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(register, host, port), await asyncio.start_server(show, host, page_port):
        await asyncio.Event().wait()


async def be_worker(host: str, cores: int, memory_mib: int, master: str) -> None:
    """Connect to the master, and again after it has ended."""
    about = {"host": host, "state": "ALIVE", "cores": cores, "coresused": 0, "memory": memory_mib, "memoryused": 0}
    address, port = master.removeprefix("spark://").split(":")
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(address, int(port), local_addr=(host, 0))
            writer.write(json.dumps(about).encode() + b"\n")
            await reader.read()
            writer.close()
        await asyncio.sleep(0.5)


def main(arguments: list[str]) -> None:
    """Be what a command of Spark's starts."""
    Path("/proc/self/comm").write_text("java")  # the name that Spark's spark-daemon.sh looks for
    given = {name: arguments[place] for place, name in enumerate(arguments, 1) if name.startswith("--")}
    if "org.apache.spark.deploy.master.Master" in arguments:
        asyncio.run(be_master(given["--host"], int(given["--port"]), int(given["--webui-port"])))
    memory = int(given["--memory"][:-1]) * {"m": 1, "g": 1024}[given["--memory"][-1]]
    asyncio.run(be_worker(given["--host"], int(given["--cores"]), memory, arguments[-1]))


if __name__ == "__main__":
    main(sys.argv[1:])
