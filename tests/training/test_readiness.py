"""Waiting for SSH and for Spark, with real SSH servers and a web server that answers as Spark's master does."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import Done, DownloadProgress, Event, MachineProgress
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.boot_watch import BootWatch
from pio_tf.training.deadline_watch import DeadlineWatch
from pio_tf.training.readiness import ready_cluster, while_powered
from pio_tf.training.spark_pages import SparkStatus, spark_status
from tests.support.background import until
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.ssh_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NAMES = ("driver", "master", "worker-1", "worker-2")
PATIENT = RetryPolicy(denied=0.5, attempt=30, first_delay=0.05, longest_delay=0.1)


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second look at anything come too late, so that the first one decides on a busy computer, too."""
    monkeypatch.setattr("pio_tf.training.readiness.FIRST_POLL", 200.0)


def worker(host: str, state: str = "ALIVE") -> dict[str, Any]:
    """Return a worker as Spark 2.4's and 3.5's /json/ has it, cut to what matters and one thing more."""
    return {"id": f"worker-{host}", "host": host, "port": 41000, "cores": 4, "memory": 29000, "state": state}


@asynccontextmanager
async def spark_master(workers: Callable[[], list[dict[str, Any]]]) -> AsyncIterator[int]:
    """Run Spark's master on the master's address; yield its port.

    Each request calls ``workers``.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /json/ ")
        body = json.dumps({"url": "spark://127.0.0.2:7077", "workers": workers(), "status": "ALIVE"})
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/json\r\n\r\n" + body.encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.2", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def start(cluster: TestCluster, *names: str) -> None:
    for name in names:
        await cluster.servers[name].start()


def install_spark(cluster: TestCluster) -> None:
    submit = cluster.servers["driver"].home / "spark" / "bin" / "spark-submit"
    submit.parent.mkdir(parents=True, exist_ok=True)
    submit.touch(0o755)


async def ready(
    cluster: TestCluster,
    ui_port: int,
    *,
    events: list[Event],
    timeout: float = 120.0,
    client: bool = True,
    watch: BootWatch | None = None,
) -> SparkStatus:
    if client:
        install_spark(cluster)
    config = cluster.config(spark={"master_ui_port": ui_port, "home": "~/spark"})
    targets = cluster.targets(*NAMES)
    waiting = ready_cluster(config, targets, timeout=timeout, reporter=events.append, patience=PATIENT, watch=watch)
    async with waiting as (_, status):
        return status


async def test_a_cluster_is_ready_when_spark_counts_every_worker(cluster: TestCluster) -> None:
    await start(cluster, *NAMES[1:])
    alive = [worker("127.0.0.3", "DEAD"), worker("127.0.0.3")]
    answers = [alive, alive, [*alive, worker("127.0.0.4")]]
    events: list[Event] = []
    async with spark_master(lambda: answers.pop(0)) as port:
        status = await ready(cluster, port, events=events)
    assert status.alive.keys() == {"127.0.0.3", "127.0.0.4"}
    assert (status.cores, status.memory_mib) == (8, 58000)
    done = [event.machine for event in events if isinstance(event, MachineProgress) and event.ready]
    assert sorted(done) == list(NAMES)
    assert len(events) == len(set(events))
    assert events[-1] == Done("Spark has 2 of 2 workers: 8 cores, 56.6 GiB for executors")


async def test_machines_and_master_that_are_still_booting_are_waited_for(cluster: TestCluster) -> None:
    await start(cluster, "master", "worker-1")
    events: list[Event] = []
    workers = [worker("127.0.0.3"), worker("127.0.0.4")]

    async def boot() -> None:
        await until(lambda: any("waiting for ssh" in getattr(event, "detail", "") for event in events))
        await start(cluster, "worker-2")

    booting = asyncio.ensure_future(boot())
    async with spark_master(lambda: workers) as port:
        await ready(cluster, port, events=events)
    await booting
    progress = [event for event in events if isinstance(event, MachineProgress) and event.machine == "worker-2"]
    assert progress[0].detail.startswith("waiting for ssh: ")


async def test_a_driver_that_restarts_in_the_middle_is_connected_to_again(cluster: TestCluster) -> None:
    await start(cluster, "master", "worker-1")
    began = time.monotonic()
    cut: list[float] = []

    def workers() -> list[dict[str, Any]]:
        if not cut:
            cut.append(time.monotonic())
            cluster.driver.cut()
        return [worker("127.0.0.3"), worker("127.0.0.4")]

    async def boot() -> None:
        await asyncio.sleep(0.2)
        await start(cluster, "worker-2")

    booting = asyncio.ensure_future(boot())
    async with spark_master(workers) as port:
        await ready(cluster, port, events=[])
    await booting
    assert cut
    assert time.monotonic() - began < 60
    assert len(cluster.driver.connections) > 1


async def test_a_missing_worker_is_named_with_what_spark_says_and_where_its_log_is(cluster: TestCluster) -> None:
    await start(cluster, *NAMES[1:])
    began = time.monotonic()
    async with spark_master(lambda: [worker("127.0.0.3"), worker("127.0.0.4", "DEAD")]) as port:
        with pytest.raises(NotReady) as caught:
            await ready(cluster, port, timeout=5, events=[])
    assert time.monotonic() - began < 60
    assert caught.value.what == "Spark's master lacks 1 of its workers: worker-2"
    assert "worker-2 (127.0.0.4): DEAD" in caught.value.cause
    assert "journalctl -u pio-tf-spark` on worker-2" in caught.value.next_step
    assert caught.value.details == {"missing": ["worker-2"], "alive": ["127.0.0.3"]}


async def test_a_driver_that_still_installs_spark_is_waited_for(cluster: TestCluster) -> None:
    await start(cluster, *NAMES[1:])
    events: list[Event] = []
    waiting = MachineProgress("driver", "waiting for Spark to be installed")

    async def install() -> None:
        await until(lambda: waiting in events)
        install_spark(cluster)

    installing = asyncio.ensure_future(install())
    async with spark_master(lambda: [worker("127.0.0.3"), worker("127.0.0.4")]) as port:
        await ready(cluster, port, events=events, client=False)
    await installing


async def test_a_first_boot_that_moves_is_waited_for_beyond_the_time_and_one_that_stops_is_not(
    cluster: TestCluster,
) -> None:
    await start(cluster, *NAMES[1:])
    events: list[Event] = []
    downloads = cluster.driver.home / "state" / "downloads"
    downloads.mkdir(parents=True)
    watch = BootWatch(limit=3, reporter=events.append, state="~/state", work="~/work")
    began = time.monotonic()

    async def download() -> None:
        while time.monotonic() < began + 8:
            (downloads / "spark-2.1.3.part").write_bytes(bytes(int(1000 * (time.monotonic() - began))))
            await asyncio.sleep(0.2)

    downloading = asyncio.ensure_future(download())
    async with spark_master(lambda: [worker("127.0.0.3"), worker("127.0.0.4")]) as port:
        with pytest.raises(NotReady) as caught:
            await ready(cluster, port, events=events, client=False, watch=watch)
    await downloading
    assert time.monotonic() - began > 8
    assert caught.value.what.startswith("driver does not get ready: nothing has moved on it for ")
    assert "spark-2.1.3 from an unknown address: 0.0 MB, last moved " in caught.value.cause
    assert len({event.received for event in events if isinstance(event, DownloadProgress)}) > 3


@pytest.mark.usefixtures("one_look")
async def test_a_driver_without_spark_is_named_with_where_its_log_is(cluster: TestCluster) -> None:
    await start(cluster, *NAMES[1:])
    async with spark_master(lambda: [worker("127.0.0.3"), worker("127.0.0.4")]) as port:
        with pytest.raises(NotReady) as caught:
            await ready(cluster, port, events=[], client=False)
    assert caught.value.what == "the driver has no Spark: ~/spark/bin/spark-submit does not exist"
    assert "/var/log/pio-tf.log on driver" in caught.value.next_step


@pytest.mark.usefixtures("one_look")
async def test_workers_of_another_cluster_do_not_count(cluster: TestCluster) -> None:
    await start(cluster, *NAMES[1:])
    async with spark_master(lambda: [worker("127.0.0.3"), worker("10.9.9.9")]) as port:
        with pytest.raises(NotReady, match=r"worker-2 \(127\.0\.0\.4\): never seen"):
            await ready(cluster, port, events=[])


@pytest.mark.usefixtures("one_look")
async def test_a_master_that_does_not_answer_is_named_with_its_log(cluster: TestCluster) -> None:
    await start(cluster, *NAMES[1:])
    port = free_port(("127.0.0.2",))
    with pytest.raises(NotReady) as caught:
        await ready(cluster, port, events=[])
    assert f"master does not answer at 127.0.0.2:{port}" in caught.value.what
    assert "refused" in caught.value.cause
    assert "journalctl -u pio-tf-spark" in caught.value.next_step


async def test_a_machine_without_ssh_is_not_ready_within_the_time(cluster: TestCluster) -> None:
    await start(cluster, "master", "worker-1")
    began = time.monotonic()
    with pytest.raises(NotReady, match=r"worker-2 at 127\.0\.0\.4"):
        await ready(cluster, free_port(), timeout=4, events=[])
    assert time.monotonic() - began < 60


async def test_a_refused_key_ends_the_wait_long_before_its_time(cluster: TestCluster) -> None:
    cluster.driver.authorized = []
    began = time.monotonic()
    with pytest.raises(RemoteError, match="refuses the key"):
        await ready(cluster, free_port(), timeout=600, events=[])
    assert time.monotonic() - began < 60


async def test_something_else_on_the_port_is_told(cluster: TestCluster) -> None:
    async with (
        spark_master(lambda: [{"host": "x"}]) as port,
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote,
    ):
        with pytest.raises(RemoteError, match=r"the program at http://127\.0\.0\.2:\d+/json/ is not a Spark master"):
            await spark_status(remote, master="127.0.0.2", port=port)


async def test_the_deadline_ends_a_wait_that_would_go_on() -> None:
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")
    began = datetime.now(tz=timezone.utc)
    deadline = DeadlineWatch(find=lambda: None, at=began + timedelta(seconds=1), report=lambda _event: None)
    with (
        LocalAws() as aws,
        closing(session.client("ec2", endpoint_url=aws.url)) as ec2,
        pytest.raises(NotReady) as caught,
    ):
        await while_powered(asyncio.sleep(600), ec2, [], deadline=deadline, every=0.1)
    assert f"at the deadline, {began + timedelta(seconds=1):%H:%M} UTC" in caught.value.what
    assert "pio-tf up --for 8h" in caught.value.next_step
    assert datetime.now(tz=timezone.utc) >= began + timedelta(seconds=1)
