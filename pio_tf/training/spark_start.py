"""Spark on machines where no unit starts it: the user's own command, such as Spark's start-all.sh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import RemoteError
from pio_tf.events import Step, Warned
from pio_tf.remote.bash import in_bash
from pio_tf.training.spark_pages import spark_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.model import Machine
    from pio_tf.remote.ssh import ClusterConnection

_ANSWER_SECONDS = 10.0
_START_SECONDS = 120.0
"""Spark's scripts return once they have started the daemons: seconds for each worker, one after another."""
_LAST_LINES = 3


async def start_spark(
    remote: ClusterConnection, config: Config, machines: Sequence[Machine], *, report: Reporter
) -> None:
    """Run ``spark.start_command`` on the master, unless Spark has all its workers.

    Spark's scripts leave daemons that run alone. They end with an error if one runs, so that an exit status is only a
    warning: whether Spark becomes ready decides.
    """
    command = config.spark.start_command or ""
    master = next(one for one in machines if one.role == "master")
    workers = {one.private_ip for one in machines if one.role == "worker"}
    try:
        status = await spark_status(
            remote, master=master.private_ip, port=config.spark.master_ui_port, timeout=_ANSWER_SECONDS
        )
    except RemoteError as error:
        if error.details.get("kind") != "http":
            raise
    else:
        if workers <= status.alive.keys():
            return
    report(Step(f"Starting Spark: {command}"))
    try:
        done = await remote.run(master.name, in_bash(command, login=True), timeout=_START_SECONDS)
    except RemoteError as error:
        if error.details.get("kind") != "timeout":
            raise
        report(Warned(f"{command} has not ended on {master.name} within {_START_SECONDS:g} s"))
        return
    if done.exit_status != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:]) or "no message"
        report(Warned(f"{command} ended with {done.exit_status} on {master.name}: {said}"))
