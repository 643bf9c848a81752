"""Spark started by the user's own command, on real SSH servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.events import Event, Step, Warned
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.spark_start import start_spark
from tests.support.ssh_cluster import QUICK, TestCluster, running
from tests.support.ssh_servers import free_port
from tests.training.test_readiness import NAMES, spark_master, worker

if TYPE_CHECKING:
    from collections.abc import Sequence


async def start(cluster: TestCluster, command: str, *, port: int) -> Sequence[Event]:
    config = cluster.config(spark={"master_ui_port": port, "start_command": command})
    targets, events = cluster.targets(*NAMES), list[Event]()
    async with ClusterConnection(config, targets, retry=QUICK) as remote:
        await start_spark(remote, config, [running(one) for one in targets], report=events.append)
    return events


async def test_the_command_runs_on_the_master_if_spark_does_not_answer(cluster: TestCluster) -> None:
    await cluster.servers["master"].start()
    events = await start(cluster, "echo $HOME >~/started", port=free_port(("127.0.0.2",)))
    home = cluster.servers["master"].home
    assert (home / "started").read_text().strip() == str(home)
    assert events == [Step("Starting Spark: echo $HOME >~/started")]


async def test_the_command_runs_if_spark_lacks_a_worker_and_not_if_it_has_all(cluster: TestCluster) -> None:
    await cluster.servers["master"].start()
    workers: list[dict[str, Any]] = [worker("127.0.0.3")]
    async with spark_master(lambda: workers) as port:
        await start(cluster, "touch ~/started", port=port)
        started = cluster.servers["master"].home / "started"
        assert started.exists()
        started.unlink()
        workers.append(worker("127.0.0.4"))
        assert await start(cluster, "touch ~/started", port=port) == []
        assert not started.exists()


async def test_a_command_that_fails_is_a_warning_with_its_last_words(cluster: TestCluster) -> None:
    await cluster.servers["master"].start()
    command = "echo 'Master running as process 7.  Stop it first.'; exit 1"
    *_, last = await start(cluster, command, port=free_port(("127.0.0.2",)))
    assert isinstance(last, Warned)
    assert last.message.endswith("ended with 1 on master: Master running as process 7.  Stop it first.")
