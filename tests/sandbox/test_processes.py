"""A process of the sandbox ends with its server, however that ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pio_tf.sandbox.processes import ProcessId
from tests.support.background import wait_until

SERVER = """\
import subprocess, sys
from pio_tf.sandbox import processes

if sys.argv[1] == "before util-linux 2.33":
    processes._find_setpriv = lambda: ()
start = processes.dying_with_parent("sleep", "600")
child = subprocess.Popen(start.command, preexec_fn=start.preexec_fn, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("system", ["any", "before util-linux 2.33"])
def test_a_process_of_a_killed_server_is_killed_too(system: str) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, system], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = ProcessId.of(int(server.stdout.readline()))
        assert child is not None
        command = Path(f"/proc/{child.pid}/cmdline")
        assert wait_until(lambda: command.read_bytes().startswith(b"sleep"))
        server.kill()
    assert wait_until(lambda: not child.is_alive(), within=30)
