"""Spark's secret: one for all machines, kept on the driver. On real SSH servers, with a bootstrap script of its own."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.events import Warned
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.spark_secret import SecretChange, apply_change, asks_for_secret, find_change, read_secret
from tests.support.ssh_cluster import ADDRESSES, QUICK, TestCluster, put_first_on_path
from tests.training.test_provision import BOB, session, start_all

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.events import Event

SPARK = ("master", "worker-1", "worker-2")
SUDO = """\
#!/bin/bash
shift
echo "$*" >>~/asked
[ ! -e ~/old ] || { echo "usage: pio-tf-bootstrap [run|image]" >&2; exit 2; }
[ "$3" != put ] || cat >~/secret
echo "pio-tf secret: $(sha256sum <~/secret | cut -d ' ' -f 1)"
"""


@pytest.fixture(autouse=True)
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path("sudo", SUDO, tmp_path, monkeypatch)


async def share(cluster: TestCluster, **spark_conf: str) -> tuple[SecretChange | None, str, list[str]]:
    """Return the change that was necessary, the driver's secret after it, and the warnings."""
    events: list[Event] = []
    config = cluster.config(spark={"conf": {name.replace("_", "."): value for name, value in spark_conf.items()}})
    async with ClusterConnection(config, cluster.targets(*ADDRESSES), retry=QUICK) as remote:
        change = await find_change(remote, config, SPARK, report=events.append, patience=1)
        if change is not None:
            await apply_change(remote, change)
        return change, await read_secret(remote), [event.message for event in events if isinstance(event, Warned)]


def secrets_on(cluster: TestCluster) -> set[str]:
    return {(cluster.servers[name].home / "secret").read_text() for name in SPARK}


async def test_every_machine_gets_one_secret_which_the_driver_keeps_for_every_client(cluster: TestCluster) -> None:
    await start_all(cluster)
    change, secret, warnings = await share(cluster)
    assert change == SecretChange(secret, SPARK)
    assert len(secret) == 64
    assert secrets_on(cluster) == {secret}
    file = cluster.driver.home / ".pio-tf" / "spark-secret"
    assert (file.read_text(), oct(file.stat().st_mode & 0o777)) == (secret, "0o600")
    assert warnings == []
    assert (await share(cluster))[:2] == (None, secret)
    for name in SPARK:
        assert secret not in (cluster.servers[name].home / "asked").read_text()  # no command line has it


async def test_a_client_that_waits_for_spark_asks_the_driver_twice_and_each_other_machine_once(
    cluster: TestCluster,
) -> None:
    await start_all(cluster)
    await share(cluster)
    before = {name: len(cluster.servers[name].processes) for name in ("driver", *SPARK)}
    async with session(cluster) as driver:
        await driver.before_spark()
    asked = {name: len(cluster.servers[name].processes) - count for name, count in before.items()}
    assert asked == {"driver": 2, "master": 1, "worker-1": 1, "worker-2": 1}


async def test_only_a_machine_without_the_secret_gets_it(cluster: TestCluster) -> None:
    await start_all(cluster)
    _, secret, _ = await share(cluster)
    (cluster.servers["worker-2"].home / "secret").write_text("of another cluster")
    assert await share(cluster) == (SecretChange(secret, ("worker-2",)), secret, [])
    assert secrets_on(cluster) == {secret}


async def test_a_secret_that_is_removed_from_the_driver_is_replaced_everywhere(cluster: TestCluster) -> None:
    await start_all(cluster)
    _, before, _ = await share(cluster)
    (cluster.driver.home / ".pio-tf" / "spark-secret").unlink()
    change, secret, _ = await share(cluster)
    assert change == SecretChange(secret, SPARK)
    assert secret != before
    assert secrets_on(cluster) == {secret}


async def test_a_cluster_of_an_older_version_runs_on_without_authentication_and_is_told_the_next_step(
    cluster: TestCluster,
) -> None:
    await start_all(cluster)
    (cluster.servers["worker-1"].home / "old").touch()
    change, secret, (warning,) = await share(cluster)
    assert (change, secret) == (SecretChange("", ("master", "worker-2")), "")
    assert warning == (
        "Spark runs without authentication: worker-1 cannot take a secret, because the software there is older than "
        "this pio-tf; run `pio-tf provision`"
    )


async def test_a_machine_that_cannot_take_the_secret_takes_it_from_no_other(cluster: TestCluster) -> None:
    await start_all(cluster)
    _, secret, _ = await share(cluster)
    (cluster.servers["worker-1"].home / "old").touch()
    change, kept, (warning,) = await share(cluster)
    assert (change, kept) == (None, secret)
    assert warning.startswith("pio-tf could not compare the secret of Spark on worker-1")


async def test_a_secret_of_pio_tf_hcl_is_used_and_authentication_can_be_declined(cluster: TestCluster) -> None:
    await start_all(cluster)
    assert (await share(cluster, spark_authenticate_secret="s3cr3t"))[1] == "s3cr3t"
    assert secrets_on(cluster) == {"s3cr3t"}
    assert await share(cluster, spark_authenticate="false") == (SecretChange("", SPARK), "", [])
    assert secrets_on(cluster) == {""}
    assert not (cluster.driver.home / ".pio-tf" / "spark-secret").exists()


async def test_spark_is_not_restarted_under_a_run_of_another_client(cluster: TestCluster) -> None:
    await start_all(cluster)
    async with (
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote,
        session(cluster) as driver,
    ):
        async with hold_driver_lock(remote, BOB, doing="preparing", run="20261123T020000Z-3f9c"):
            await driver.share_secret()
        assert not (cluster.servers["master"].home / "secret").exists()
        await driver.share_secret()
    assert len(secrets_on(cluster)) == 1


@pytest.mark.parametrize(
    ("reason", "asks"),
    [
        ("java.lang.IllegalStateException: Expected SaslMessage, received something else", True),
        ("java.io.EOFException\n\tat org.apache.spark.rpc.netty.NettyRpcHandler", False),
        ("", None),
    ],
)
async def test_sparks_own_refusal_shows_whether_it_asks_for_the_secret(
    cluster: TestCluster, reason: str, asks: bool | None
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
        assert len(await reader.readexactly(length - 8)) == length - 8
        body = reason.encode()
        if body:
            writer.write(struct.pack(">QBQI", 21 + len(body), 5, 1, len(body)) + body)
        writer.close()

    server: Any = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        assert await asks_for_secret(remote, master="127.0.0.1", port=port, timeout=60) is asks
