"""``pio-tf demo``: the main job on a sandbox of its own, with the commands that a user types.

Each step runs ``pio-tf`` itself, then confirms its result with ``--json``. The sandbox always stops, and its files go.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from pio_tf.cli.command import CommandCall, command
from pio_tf.cli.sandbox import ServiceKind
from pio_tf.errors import ConfigError, Locked, PioTfError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.cli.output import Output

_CLUSTER = "demo"
_PATIENCE = 300
"""Seconds in which an interrupted command stops the machines that it has started."""


@command(config=False, json="")
def demo(
    call: CommandCall,
    step: Annotated[bool, typer.Option("--step", help="Wait for Enter before each command.")] = False,
    services: Annotated[
        ServiceKind, typer.Option(help="Use stand-ins for Elasticsearch, ZooKeeper and HDFS, or the real ones.")
    ] = "light",
) -> None:
    """Show the main job on a sandbox, step by step.

    It needs no AWS account, creates nothing outside a directory of its own, and removes that at the end.
    """
    from pio_tf.sandbox.control import DIRECTORY_VARIABLE, check_platform, default_directory

    if step and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError("--step needs a terminal to wait at", next_step="leave --step out")
    check_platform()
    sandbox = default_directory()
    began = time.monotonic()
    with workplace(sandbox.with_name(f"{sandbox.name}-demo")) as directory:
        environment = {**os.environ, DIRECTORY_VARIABLE: str(directory / "sandbox")}
        environment.pop("PIO_TF_CONFIG", None)
        show_demo(Demo(call.output, directory / "project", environment, step), services)
    call.output.say(f"\nThe demo took {time.monotonic() - began:.0f} s. Next, with an AWS account: pio-tf init")


def show_demo(demo: Demo, services: ServiceKind) -> None:
    """Show the main job, and stop the sandbox whatever happens.

    Raises:
        PioTfError: a command failed, or something is not as a step expects.
    """
    demo.project.mkdir()
    try:
        _play(demo, services)
    finally:
        demo.title("Stop the sandbox: no process, port or file is left")
        demo.run("sandbox", "stop")


@contextlib.contextmanager
def workplace(directory: Path) -> Iterator[Path]:
    """Make an empty directory while the block runs. An earlier demo that was killed has left its own there.

    Raises:
        Locked: another demo runs.
    """
    from pio_tf.sandbox.control import stop_sandbox

    directory.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f"{directory.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(
                "another demo runs", cause=f"it works in {directory}", next_step="wait until it has ended"
            ) from error
        stop_sandbox(directory / "sandbox")
        shutil.rmtree(directory)
        directory.mkdir()
        try:
            yield directory
        finally:
            stop_sandbox(directory / "sandbox")  # if it can't, its files stay, so that the next demo can
            shutil.rmtree(directory)
            Path(lock.name).unlink()


class Demo(Struct, frozen=True):
    """A user at a terminal, in a project's directory.

    Args:
        step: wait for Enter before each command.
        program: the command line of ``pio-tf``.
    """

    output: Output
    project: Path
    environment: dict[str, str]
    step: bool = False
    program: tuple[str, ...] = (sys.executable, "-c", "from pio_tf.cli.main import main; main()")

    def title(self, text: str) -> None:
        """Say what comes next."""
        self.output.say(f"\n=== {text}")

    def run(self, *arguments: str) -> None:
        """Run ``pio-tf`` with this terminal.

        Raises:
            PioTfError: it failed.
        """
        self.output.say(f"\n$ pio-tf {' '.join(arguments)}")
        if self.step:
            self.output.say("Press Enter to run it.")
            sys.stdin.readline()
        self._call(*arguments)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Return the result of ``pio-tf … --json``."""
        result: dict[str, Any] = json.loads(self._call(*arguments, "--json", stdout=subprocess.PIPE))
        return result

    def _call(self, *arguments: str, stdout: int | None = None) -> str:
        """Run ``pio-tf``, and return its standard output, if that is a pipe.

        Raises:
            PioTfError: it failed.
        """
        command = [*self.program, *arguments]
        process = subprocess.Popen(command, cwd=self.project, env=self.environment, stdout=stdout, text=True)
        try:
            said, _ = process.communicate()
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=_PATIENCE)
            raise
        if process.returncode:
            raise PioTfError(
                f"`pio-tf {' '.join(arguments)}` ended with exit code {process.returncode}",
                cause="its error is above",
                next_step="run `pio-tf demo` again; it starts from the beginning",
            )
        return said or ""

    def confirm(self, condition: bool, text: str) -> None:
        """Say that something is so.

        Raises:
            PioTfError: it is not.
        """
        if not condition:
            raise PioTfError(f"the demo expected this, and it is not so: {text}", next_step="report it as a bug")
        self.output.done(text)

    def machines(self) -> dict[str, dict[str, Any]]:
        """Return the machines as ``pio-tf status`` shows them, by name."""
        return {machine["name"]: machine for machine in self.ask("status")["machines"]}

    def states(self) -> set[str]:
        """Return the states of the machines."""
        return {machine["state"] for machine in self.machines().values()}

    def last_run(self) -> dict[str, Any]:
        """Return the newest run."""
        last: dict[str, Any] = self.ask("runs")["runs"][-1]
        return last


def _play(demo: Demo, services: ServiceKind) -> None:
    demo.title("Start a sandbox, a local stand-in for AWS, and describe a cluster")
    demo.run("sandbox", "start", "--services", services)
    demo.run("init", _CLUSTER, "--sandbox")

    demo.title("Create the machines once, and wait until Spark has its two workers")
    demo.run("up", "--yes")
    created = demo.machines()
    demo.confirm(len(created) == 4, "there are 4 machines: a driver, a master and 2 workers")
    demo.confirm(sum(one["spark_alive"] is True for one in created.values()) == 2, "Spark counts 2 ALIVE workers")
    demo.run("plan", "--detailed-exitcode")
    demo.run("ssh", "driver", "--", "echo kept >written-before")

    demo.title("Train a model, confirm that it is there, and stop everything")
    demo.run("train")
    first = demo.last_run()
    demo.confirm(first["state"] == "succeeded", "the run succeeded")
    demo.confirm(all(proof["held"] for proof in first["proofs"]), f"{len(first['proofs'])} proofs show a model")
    demo.confirm(demo.states() == {"stopped"}, "all machines are stopped: you pay for their disks only")

    demo.title("Train again, and leave: the same machines start, and stop without you")
    demo.run("train", "--detach")
    again = demo.machines()
    demo.confirm(
        all(again[name]["instance_id"] == one["instance_id"] for name, one in created.items()),
        "the machines are the same instances",
    )
    demo.confirm(
        all(again[name]["private_ip"] == one["private_ip"] for name, one in created.items()),
        "each has the same address",
    )
    demo.run("ssh", "driver", "--", "grep -x kept written-before")

    demo.title("Later, from any computer: find the run, and follow it to its end")
    demo.run("runs")
    demo.run("train", "--attach", demo.last_run()["id"])
    second = demo.last_run()
    demo.confirm(second["state"] == "succeeded" and second["model"] != first["model"], "its model is a new one")
    demo.confirm(demo.states() == {"stopped"}, "all machines are stopped")
    demo.run("plan", "--detailed-exitcode")
    demo.run("runs")

    demo.title("Remove the cluster for good")
    demo.run("destroy", "--confirm", _CLUSTER)
    demo.confirm(not demo.machines(), "there are no machines")
