"""The main job on the sandbox, as a user would do it.

The script creates a cluster, checks, trains and stops it. It starts it again with the same addresses, trains without
staying, finds that run, follows it, and stops.

Run by ``make demo``; with real services, by ``make demo SERVICES=real``. Every step is a real ``pio-tf`` command; the
script only looks at what came of it, and ends with 1 as soon as one thing is not so.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import asyncssh

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".demo"
PROJECT = WORK / "project"
PIO_TF = Path(sys.executable).with_name("pio-tf")
CLUSTER = "demo"


def main() -> int:
    """Run the steps. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    os.environ["PIO_TF_SANDBOX_DIR"] = str(WORK / "sandbox")
    os.environ.pop("PIO_TF_CONFIG", None)
    # What an interrupted demo left: its sandbox is stopped, its files go.
    if (WORK / "sandbox").exists():
        pio_tf("sandbox", "stop", cwd=ROOT)
    shutil.rmtree(WORK, ignore_errors=True)
    PROJECT.mkdir(parents=True)
    try:
        run_the_main_job()
    finally:
        title("Stop the sandbox: no process, port or file is left")
        pio_tf("sandbox", "stop")
    check(not (WORK / "sandbox").exists(), "the sandbox's files are gone")
    shutil.rmtree(WORK)
    print(f"\nThe demo passed in {time.monotonic() - started:.0f} s.")
    return 0


def run_the_main_job() -> None:
    """Show the main job: from no machines to a model, and back to none."""
    title("Start the sandbox, a local stand-in for AWS, and describe a cluster")
    pio_tf("sandbox", "start", "--services", os.environ.get("SERVICES") or "light")
    pio_tf("init", CLUSTER, "--sandbox")

    title("Create the machines and wait until Spark has its two workers")
    pio_tf("up")
    created = machines()
    check(len(created) == 4, "there are 4 machines: a driver, a master and 2 workers")
    check(all(machine["state"] == "running" for machine in created.values()), "all of them run")
    check(sum(machine["spark_alive"] is True for machine in created.values()) == 2, "Spark counts 2 ALIVE workers")
    pio_tf("plan", "--detailed-exitcode")

    title("Look at the configuration that PredictionIO gets")
    shown = pio_tf("config", "show", "pio-env.sh")
    check("PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=" in shown, "pio-env.sh names the metadata source")
    check(shown.count("\n") > 10, "it is the whole file")

    title("Look at everything that a training needs")
    checks = pio_tf("check")
    check(" ok " in checks and " failed " not in checks, "nothing is in a training's way")

    title("Train a model on the two workers, watch it, have it proven, and stop everything")
    on_driver("echo kept > written-before")
    log = pio_tf("train")
    check("Training completed successfully." in log, "PredictionIO said that the training completed")
    first = runs()[-1]
    check(first["state"] == "succeeded" and first["exit_status"] == 0, "the run succeeded")
    check(all(proof["held"] for proof in first["proofs"]), f"{len(first['proofs'])} proofs say that there is a model")
    check(states() == {"stopped"}, "every machine is stopped")

    title("Start again: nothing is created, nothing has moved")
    pio_tf("up")
    again = machines()
    for name, machine in again.items():
        check(machine["instance_id"] == created[name]["instance_id"], f"{name} is the same instance")
        check(machine["private_ip"] == created[name]["private_ip"], f"{name} has the same address")
    check(on_driver("cat written-before") == "kept\n", "the file that was written to the driver before is still there")
    if os.environ.get("SERVICES") != "real":  # there, the model is in HDFS
        check(on_driver("ls .pio_store/models").strip() != "", "so is the model")

    title("Begin another training, and leave")
    pio_tf("train", "--detach")
    check(states() == {"running"}, "the machines keep running")

    title("Later, from another terminal: find it, and follow it to its end")
    pio_tf("runs")
    second = runs()[-1]
    check(second["state"] == "running", "the run continues, too")
    log = pio_tf("train", "--attach", "--keep-up", second["id"])
    check("Training completed successfully." in log, "PredictionIO said that the training completed")
    ended = runs()[-1]
    check(ended["id"] == second["id"] and ended["state"] == "succeeded", "the run succeeded")
    check(ended["model"] != first["model"], "its model is a new one")

    title("Stop with `down`; logs and records are kept here, and a plan finds nothing to change")
    pio_tf("down")
    check(states() == {"stopped"}, "every machine is stopped")
    check(pio_tf("logs", second["id"], shown=3) in log, "the log is here, every line that was followed")
    pio_tf("runs")
    pio_tf("plan", "--detailed-exitcode")
    pio_tf("status")

    title("Remove the cluster for good")
    pio_tf("destroy", "--confirm", CLUSTER)
    check(not machines(), "there are no machines")


def pio_tf(*arguments: str, cwd: Path = PROJECT, shown: int | None = None) -> str:
    """Run ``pio-tf``, showing and returning its standard output; a failure ends the demo.

    Args:
        shown: only so many lines are shown.
    """
    print(f"\n$ pio-tf {' '.join(arguments)}", flush=True)
    process = subprocess.Popen([PIO_TF, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None  # noqa: S101 - for the type checker
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if shown is None or len(lines) <= shown:
                print(line, end="", flush=True)
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
        raise
    if code:
        fail(f"pio-tf {' '.join(arguments)} ended with exit code {code}")
    if shown is not None and len(lines) > shown:
        print(f"... and {len(lines) - shown} lines more")
    return "".join(lines)


def ask(*arguments: str) -> dict[str, Any]:
    """Return the answer of a command with ``--json``."""
    output = subprocess.run([PIO_TF, *arguments, "--json"], cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout
    answer: dict[str, Any] = json.loads(output)
    return answer


def machines() -> dict[str, dict[str, Any]]:
    """Return the answer of ``pio-tf status``, by machine name."""
    return {machine["name"]: machine for machine in ask("status")["machines"]}


def runs() -> list[dict[str, Any]]:
    """``pio-tf runs``, oldest first."""
    return list(ask("runs")["runs"])


def states() -> set[str]:
    """Return the states of the machines."""
    return {machine["state"] for machine in machines().values()}


def on_driver(command: str) -> str:
    """Return the output of a command on the driver, over SSH with the key that ``pio-tf init`` has made."""
    address = machines()["driver"]["private_ip"]
    print(f"\n[driver]$ {command}", flush=True)

    async def run() -> str:
        key = str(PROJECT / ".pio-tf" / "sandbox_key")
        async with asyncssh.connect(address, 2222, username="ubuntu", client_keys=[key], known_hosts=None) as driver:
            return str((await driver.run(command, check=True)).stdout)

    return asyncio.run(run())


def title(text: str) -> None:
    """Say what comes next."""
    print(f"\n=== {text}", flush=True)


def check(condition: bool, text: str) -> None:
    """Say that something is so, or end the demo."""
    if not condition:
        fail(f"not so: {text}")
    print(f"ok: {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End the demo with 1."""
    print(f"\nThe demo failed: {text}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
