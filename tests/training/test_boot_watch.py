"""First boots as a client watches them: its files, read over a real SSH connection, and a clock of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import NotReady
from pio_tf.events import DownloadProgress, Event, MachineProgress, Warned
from pio_tf.training.boot_watch import BootReport, BootWatch, Download

if TYPE_CHECKING:
    from pio_tf.remote.ssh import ClusterConnection
    from tests.support.ssh_cluster import TestCluster

LIMIT = 900.0
ARCHIVE = "https://archive.apache.org/dist/spark/spark-2.1.3/spark-2.1.3-bin-hadoop2.7.tgz"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n"
MB = 1_000_000


@dataclass
class FirstBoot:
    """The files that the bootstrap script of one machine writes, and the client that watches them."""

    home: Path
    remote: ClusterConnection
    now: float = 0.0
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        for directory in ("state/downloads", "work"):
            (self.home / directory).mkdir(parents=True)
        self.watch = BootWatch(
            limit=LIMIT, reporter=self.events.append, state="~/state", work="~/work", clock=lambda: self.now
        )

    def step(self, name: str) -> None:
        (self.home / "work" / "step").write_text(f"{name}\n")

    def part(self, size: int, *, name: str = "spark-2.1.3", head: str = "") -> None:
        """Let a download have so many bytes: a file with a hole of this size."""
        downloads = self.home / "state" / "downloads"
        with (downloads / f"{name}.part").open("wb") as file:
            file.truncate(size)
        (downloads / f"{name}.from").write_text(f"{ARCHIVE}\n")
        (downloads / f"{name}.part.head").write_bytes(
            head.encode() or b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n"
        )

    def end_download(self, name: str = "spark-2.1.3") -> None:
        downloads = self.home / "state" / "downloads"
        (downloads / f"{name}.part").rename(downloads / name)
        (downloads / f"{name}.sha512").write_text("00\n")

    async def look(self, at: float) -> list[Event]:
        """Look at this time; return the new events."""
        self.now, known = at, len(self.events)
        await self.watch.look(self.remote, ["driver"])
        return self.events[known:]


@pytest.fixture
def boot(cluster: TestCluster, remote: ClusterConnection) -> FirstBoot:
    return FirstBoot(cluster.driver.home, remote)


async def test_bytes_size_and_rate_of_a_download_are_reported(boot: FirstBoot) -> None:
    boot.step("downloads")
    boot.part(10 * MB)
    assert await boot.look(0) == [
        MachineProgress("driver", "preparing: downloads"),
        DownloadProgress("driver", "spark-2.1.3", 10 * MB, 200 * MB, None, ARCHIVE),
    ]
    boot.part(16 * MB)
    assert await boot.look(3) == [DownloadProgress("driver", "spark-2.1.3", 16 * MB, 200 * MB, 2e6, ARCHIVE)]
    boot.end_download()
    (done,) = await boot.look(6)
    assert done == DownloadProgress("driver", "spark-2.1.3", 16 * MB, 16 * MB, None, ARCHIVE, done=True)


async def test_the_rate_is_that_of_the_last_seconds(boot: FirstBoot) -> None:
    for at, size in ((0, 100 * MB), (10, 110 * MB), (20, 110 * MB), (30, 110 * MB)):
        boot.part(size)
        found = [event for event in await boot.look(at) if isinstance(event, DownloadProgress)]
    assert found[-1].bytes_per_second == 0


async def test_a_download_that_crawls_is_waited_for_long_after_the_limit(boot: FirstBoot) -> None:
    boot.step("downloads")
    for hour in range(10):
        boot.part(MB + hour)
        await boot.look(hour * (LIMIT - 1))
        assert boot.watch.left == LIMIT


async def test_a_download_that_stops_ends_the_wait_and_names_file_bytes_and_address(boot: FirstBoot) -> None:
    boot.step("downloads")
    boot.part(41 * MB)
    await boot.look(0)
    await boot.look(LIMIT - 1)
    with pytest.raises(NotReady) as caught:
        await boot.look(LIMIT)
    assert caught.value.what == "driver does not get ready: nothing has moved on it for 15 min"
    assert caught.value.cause == (
        f"it is at step downloads; spark-2.1.3 from {ARCHIVE}: 41.0 of 200.0 MB, last moved 15 min ago"
    )
    assert "pio-tf mirror push" in caught.value.next_step
    assert caught.value.details["downloads"] == [
        {"name": "spark-2.1.3", "received": 41 * MB, "size": 200 * MB, "address": ARCHIVE}
    ]


async def test_requests_that_bring_nothing_are_no_progress(boot: FirstBoot) -> None:
    boot.step("downloads")
    boot.part(41 * MB)
    await boot.look(0)
    boot.part(41 * MB, head="HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 41000000-199999999/200000000\r\n")
    with pytest.raises(NotReady):
        await boot.look(LIMIT)


async def test_other_machines_do_not_make_up_for_one_that_is_stuck(boot: FirstBoot) -> None:
    boot.step("downloads")
    boot.part(41 * MB)
    await boot.look(0)
    boot.now = LIMIT - 1
    boot.watch.moved()
    with pytest.raises(NotReady, match="driver does not get ready"):
        await boot.look(LIMIT)


async def test_steps_unpacking_and_output_are_progress(boot: FirstBoot) -> None:
    boot.step("spark")
    await boot.look(0)
    boot.step("extra-bootstrap")
    await boot.look(800)
    (boot.home / "work" / "stderr").write_text("Unpacking something\n")
    await boot.look(1600)
    assert boot.watch.left == LIMIT


async def test_a_machine_that_has_ended_its_first_boot_is_not_stuck(boot: FirstBoot) -> None:
    (boot.home / "state" / "bootstrapped").touch()
    await boot.look(0)
    await boot.look(5 * LIMIT)
    assert boot.watch.left < 0, "Spark's silence ends the wait"


async def test_an_archive_that_was_wrong_is_not_called_downloaded(boot: FirstBoot) -> None:
    boot.step("downloads")
    boot.part(200 * MB)
    await boot.look(0)
    (boot.home / "state" / "downloads" / "spark-2.1.3.part").unlink()
    assert await boot.look(3) == []


async def test_a_download_that_takes_long_is_one_warning_with_the_way_around(boot: FirstBoot) -> None:
    warnings: list[Event] = []
    for at in (0, 10, 20, 30):
        boot.part(MB * (1 + at // 10))
        warnings += [event for event in await boot.look(at) if isinstance(event, Warned)]
    (warning,) = warnings
    assert isinstance(warning, Warned)
    assert warning.message.startswith(
        "driver gets spark-2.1.3 at 100 kB/s, which takes 33 min more: `pio-tf mirror push`"
    )


async def test_a_failure_at_this_boot_ends_the_wait_at_once(boot: FirstBoot) -> None:
    this = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    failed = {"step": "downloads", "reason": "no space", "boot_id": this}
    (boot.home / "work" / "failed.json").write_text(json.dumps(failed) + "\n")
    with pytest.raises(NotReady, match="driver could not prepare itself: step downloads failed") as caught:
        await boot.look(0)
    assert caught.value.cause == "no space"
    assert "pio-tf provision driver" in caught.value.next_step


@pytest.mark.parametrize("text", [json.dumps({"step": "java", "boot_id": "another"}), "{half"])
async def test_a_failure_of_an_earlier_boot_or_half_a_file_is_none(boot: FirstBoot, text: str) -> None:
    (boot.home / "state" / "failed.json").write_text(text + "\n")
    await boot.look(0)


async def test_a_machine_is_asked_only_every_so_often(cluster: TestCluster, remote: ClusterConnection) -> None:
    now = 0.0
    watch = BootWatch(limit=LIMIT, state="~/state", work="~/work", every=3, clock=lambda: now)
    (cluster.driver.home / "state").mkdir()
    for at, steps in ((0.0, ()), (2.9, ("java",)), (3.0, ("java",))):
        now = at
        (cluster.driver.home / "work").mkdir(exist_ok=True)
        for step in steps:
            (cluster.driver.home / "work" / "step").write_text(step)
        await watch.look(remote, ["driver"])
        assert watch.left == (LIMIT - 2.9 if at == 2.9 else LIMIT)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        ("HTTP/1.1 200 OK\nContent-Length: 5", 5),
        ("HTTP/2 200\ncontent-length: 5", 5),
        ("HTTP/1.1 302 Found\nContent-Length: 200\nHTTP/1.1 200 OK\nContent-Length: 5", 5),
        ("HTTP/1.1 206 Partial Content\nContent-Length: 2\nContent-Range: bytes 3-4/5", 5),
        ("HTTP/1.1 206 Partial Content\nContent-Range: bytes 3-4/*", None),
        ("HTTP/1.1 302 Found\nContent-Length: 200", None),
        ("HTTP/1.1 200 OK", None),
    ],
)
def test_the_size_of_a_file_is_read_from_its_servers_headers(head: str, size: int | None) -> None:
    lines = ["part 3 x-1.part", "from http://h/x", *(f"head {line}" for line in head.splitlines())]
    assert BootReport.parse("\n".join(lines)).downloads == (Download("x-1", 3, size, "http://h/x"),)
