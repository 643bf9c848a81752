"""PredictionIO's own log, with passwords in it, is gone from the driver once pio-tf has configured it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.events import Event, Warned
from pio_tf.model import Machine
from tests.support.instance_statuses import Statuses
from tests.support.session import session_of
from tests.training.preflight_world import OUTPUTS, SIZING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ssh_cluster import TestCluster

HOMES = {
    "pio": {"home": "~/pio"},
    "spark": {"home": "~/spark"},
    "hbase": {"home": "~/hbase"},
    "hdfs": {"hadoop_home": "~/hadoop"},
}


def written(home: Path, text: str) -> Path:
    log = home / "pio" / "log" / "pio.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    return log


async def configure(cluster: TestCluster) -> list[str]:
    """Write the driver's files. Return the warnings about its log."""
    events: list[Event] = []
    target = cluster.targets()[0]
    driver = Machine(target.name, "driver", "i-driver", "m5.large", "running", target.private_ip, None, None)
    async with session_of(cluster.config(**HOMES), [driver], ec2=Statuses().client, report=events.append) as session:
        await session.push(OUTPUTS, SIZING)
    return [event.message for event in events if isinstance(event, Warned) and "pio.log" in event.message]


async def test_predictionios_own_log_is_removed_and_written_no_more(cluster: TestCluster) -> None:
    home = cluster.driver.home
    log = written(home, "Submission command: --env PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=hunter2\n")
    (home / "pio.log").write_text("the same\n")
    removed = [f"removed {one} from the driver" for one in (log, home / "pio.log")]
    assert [warning.partition(":")[0] for warning in await configure(cluster)] == removed
    assert not log.exists()
    assert not (home / "pio.log").exists()
    assert "pio.log.dir" not in (home / "pio" / "conf" / "log4j.properties").read_text()


async def test_the_empty_log_that_predictionio_touches_is_left(cluster: TestCluster) -> None:
    log = written(cluster.driver.home, "")
    await configure(cluster)
    assert log.exists()


async def test_the_log_is_also_removed_from_the_directory_that_the_profile_names(cluster: TestCluster) -> None:
    home = cluster.driver.home
    (home / "logs").mkdir()
    (home / "logs" / "pio.log").write_text("the same\n")
    (home / ".profile").write_text('echo Welcome\nexport PIO_LOG_DIR="$HOME/logs"\n')
    await configure(cluster)
    assert not (home / "logs" / "pio.log").exists()


async def test_a_log_that_cannot_be_removed_is_a_warning(cluster: TestCluster) -> None:
    directory = cluster.driver.home / "pio" / "log" / "pio.log"
    (directory / "x").mkdir(parents=True)  # root, which runs tests in containers, may remove any file
    assert await configure(cluster) == [
        f"could not remove {directory} from the driver, where other users may read the passwords in it"
    ]
