"""Trainings on AWS's schedule: a client leaves on the driver all that one needs, and a unit that begins it at a boot.

``scheduled.sh`` says what happens then.
"""

from __future__ import annotations

import shlex
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pio_tf.config.storage import Elasticsearch1Source, ElasticsearchBlock, HbaseBlock, HdfsBlock, JdbcSource
from pio_tf.engine.sources import needs_no_build
from pio_tf.errors import RemoteError
from pio_tf.events import Warned
from pio_tf.remote.bash import shell_path
from pio_tf.training.preflight.context import Limits
from pio_tf.training.preflight.hdfs_check import QUESTION as HDFS_QUESTION
from pio_tf.training.preflight.probe import probe_command
from pio_tf.training.preflight.service_checks import ZOOKEEPER_QUESTION, jdbc_addresses
from pio_tf.training.runs.driver_runs import KEPT_ON_DRIVER, pack, program, runner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.model import Outputs
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.redact import Redactor
    from pio_tf.training.runs.record import RunRecord

OWNER = "schedule"
"""The owner of runs that AWS's schedule has begun, in place of a user."""
_DIRECTORY = "~/.pio-tf/scheduled"
_HTTP_QUESTION = b"GET / HTTP/1.0\r\n\r\n"
_PUT = """umask 077
set -e
mkdir -p ~/.pio-tf/runs && cd ~/.pio-tf
rm -rf scheduled.new scheduled.old && mkdir scheduled.new && tar -x -f - -C scheduled.new
[ ! -e scheduled ] || mv scheduled scheduled.old
mv scheduled.new scheduled && rm -rf scheduled.old
bash scheduled/program install
"""
_REMOVE = """[ -e ~/.pio-tf/scheduled ] || exit 0
sudo -n sh -c 'systemctl disable pio-tf-scheduled.service; rm -f /etc/systemd/system/pio-tf-scheduled.service'
rm -rf ~/.pio-tf/scheduled"""


class ScheduledTraining(Struct, frozen=True):
    """A training as `pio-tf train` would run it now, for a driver that begins it without a client."""

    token: str
    """The schedule's: AWS marks the machines with it before it starts them."""
    record: RunRecord
    """Its record, but for what only the driver will know: id, process and times."""
    command: str
    """Bash text."""
    redactor: Redactor
    """Hides secrets in its log."""
    settings: Mapping[str, str]
    """Spark's settings in force."""
    after: Mapping[str, str] = field(default_factory=dict)
    """The files for what follows it: of :func:`pio_tf.training.after_run.files_after_run`."""
    custody: Mapping[str, str] = field(default_factory=dict)
    """The files for what keeps the model before it: of :func:`pio_tf.training.custody.order.files_to_keep_model`."""

    def files(self, config: Config, outputs: Outputs) -> dict[str, str]:
        """Return the files of ``~/.pio-tf/scheduled``."""
        return {
            "program": self.render_program(config, outputs),
            "command": self.command,
            "record": self.record.to_json(),
            "redact": self.redactor.in_perl(),
            "runner": runner(),
            "probe": probe_command(config, self.settings),
            **{f"after/{name}": text for name, text in self.after.items()},
            **{f"custody/{name}": text for name, text in self.custody.items()},
        }

    def render_program(self, config: Config, outputs: Outputs) -> str:
        """Return the program of the unit: the functions of ``driver.sh``, settings, and ``scheduled.sh``."""
        limits = Limits()
        values = {
            "TOKEN": self.token,
            "DRIVER_ID": outputs.driver.instance_id,
            "MASTER": outputs.master.private_ip,
            "UI_PORT": config.spark.master_ui_port,
            "MIN_WORKERS": config.spark.min_workers or 0,
            "START_TIMEOUT": config.cluster.start_timeout,
            "LINGER": config.train.linger,
            "MAX_RUNTIME": config.train.max_runtime,
            "DRIVER_MEMORY": self.settings["spark.driver.memory"],
            "FREE_MIB": limits.disk_failed_mib,
            "FREE_INODES": limits.inodes_failed,
            "CLOCK": int(limits.clock_failed),
            "KEEP": KEPT_ON_DRIVER,
            "UNBUILT": "yes" if needs_no_build(config) else "",
        }
        workers = shlex.join(f"{worker.name}={worker.private_ip}" for worker in outputs.workers)
        settings = [
            *(f"{name}={shlex.quote(str(value))}" for name, value in values.items()),
            f"PIO={shell_path(f'{config.pio.home}/bin/pio')}",
            f"WORKERS=({workers})",
            *("services() {", *(f"  {line}" for line in _services(config)), "}"),
        ]
        own = resources.files(__package__).joinpath("scheduled.sh").read_text(encoding="utf-8")
        return "\n".join(["#!/bin/bash", program(), *settings, own])


async def install_schedule(
    remote: ClusterConnection, config: Config, outputs: Outputs, training: ScheduledTraining, *, report: Reporter
) -> None:
    """Leave the training on the driver, with the unit that begins it. Warn if the driver does not take it."""
    try:
        done = await remote.run(remote.driver.name, _PUT, content=pack(training.files(config, outputs)))
    except RemoteError as error:
        why = error.cause or error.what
    else:
        if done.exit_status == 0:
            return
        why = ((done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.exit_status}"])[-1]
    report(Warned(f"the driver cannot train on its schedule: {why}"))


async def remove_schedule(remote: ClusterConnection) -> None:
    """Remove what :func:`install_schedule` has left."""
    await remote.run(remote.driver.name, _REMOVE)


def _services(config: Config) -> Iterator[str]:
    """Return the commands that check whether the services answer the driver, as the checks of a client do."""
    for source in config.sources:
        block = source.block
        if isinstance(block, ElasticsearchBlock):
            asked = [(node.host, node.port) for node in block.nodes if node.scheme == "http"]
            question = _HTTP_QUESTION if len(asked) == len(block.nodes) else b""  # over TLS, only its port is asked
            yield _service("elasticsearch", 1, question, [(node.host, node.port) for node in block.nodes])
        elif isinstance(block, Elasticsearch1Source):
            yield _service("elasticsearch", 1, b"", [(host, block.port) for host in block.hosts])
        elif isinstance(block, HbaseBlock):
            hosts = block.zookeeper_quorum or block.hosts
            addresses = [(host, block.zookeeper_port) for host in hosts]
            yield _service("zookeeper", len(hosts) // 2 + 1, ZOOKEEPER_QUESTION, addresses)
        elif isinstance(block, HdfsBlock):
            needed = 1 if block.nameservice else len(block.addresses)
            yield _service("hdfs", needed, HDFS_QUESTION, block.addresses)
        elif isinstance(block, JdbcSource):
            yield _service("jdbc", 1, b"", jdbc_addresses(block.url))
    yield ":"


def _service(name: str, needed: int, question: bytes, addresses: Sequence[tuple[str, int]]) -> str:
    text = question.decode().replace("\r\n", "\\r\\n")
    return shlex.join(["service", name, str(needed), text, *(f"{host}:{port}" for host, port in addresses)])
