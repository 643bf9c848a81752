"""The first boots of machines, as a client sees them over SSH: steps, downloads, and whether anything moves.

The bootstrap script runs no program for this. It writes the name of its step, and curl writes archives and the headers
of their servers into files: one command on each machine reads them, with the sizes of what else grows meanwhile.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from pio_tf.data_amounts import amount, rate_text
from pio_tf.durations import duration
from pio_tf.errors import NotReady
from pio_tf.events import DownloadProgress, MachineProgress, Reporter, Warned, silent
from pio_tf.remote.bash import shell_path
from pio_tf.training.provisioning import IN_MEMORY, STATE, how_to_repair, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pio_tf.remote.ssh import ClusterConnection

RATE_SECONDS = 20.0
"""Seconds of a download that its rate is the mean of."""
SLOW_SECONDS = 900.0
"""Seconds that a download may need before pio-tf warns, and names the way around a slow server."""
_MIRROR = "`pio-tf mirror push` copies all archives to a bucket near the machines (docs/machines.md)"
READ = """\
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
sed -n '1s/^/failed /p' {work}/failed.json {state}/failed.json 2>/dev/null
sed -n '1s/^/step /p' {work}/step 2>/dev/null
[ ! -d {state} ] || echo begun
[ ! -e {state}/bootstrapped ] || echo done
for part in {state}/downloads/*.part; do
  [ -e "$part" ] || continue
  echo "part $(stat -c %s "$part") ${{part##*/}}"
  sed -n '1s/^/from /p' "${{part%.part}}.from" 2>/dev/null
  grep -iE '^(HTTP/|Content-Length:|Content-Range:)' "$part.head" 2>/dev/null | tr -d '\\r' | sed 's/^/head /'
done
for sum in {state}/downloads/*.sha512; do
  stat -c "whole %s ${{sum##*/}}" "${{sum%.sha512}}" 2>/dev/null
done
case $(cat {work}/step 2>/dev/null) in
java | mdadm)
  stat -c 'grows %s' /var/log/dpkg.log
  sudo -n du -sk /var/cache/apt/archives/partial /var/lib/apt/lists/partial | sed 's/^/grows /'
  ;;
esac 2>/dev/null
du -sk /opt/*/.unpack 2>/dev/null | sed 's/^/grows /'
stat -c 'grows %s' {work}/stderr 2>/dev/null
true
"""
"""Bash. apt's own downloads are only root's to see: without sudo, they count once packages are installed."""
_STATUS = re.compile(r"HTTP/\S+ (\d+)")


class Download(Struct, frozen=True):
    """An archive that a machine is downloading."""

    name: str
    """Component and version: ``spark-2.1.3``."""
    received: int
    """Bytes."""
    size: int | None = None
    """Bytes; None: the server does not say."""
    address: str = ""


class BootReport(Struct, frozen=True):
    """The bootstrap script of one machine at one moment."""

    boot_id: str = ""
    failed: Mapping[str, Any] = field(default_factory=dict)
    """The script's failed.json, of this or an earlier boot."""
    step: str = ""
    """The step that it is at; empty: it does not run, or is older than this pio-tf."""
    unfinished: bool = False
    """True if the script has begun to prepare the machine, and has not ended."""
    downloads: tuple[Download, ...] = ()
    downloaded: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the archives that are there and not unpacked yet, by name."""
    grows: tuple[str, ...] = ()
    """Sizes of files and directories that grow while the script works."""

    @property
    def moving(self) -> tuple[object, ...]:
        """Return what differs between two looks if the machine makes progress."""
        received = tuple((one.name, one.received) for one in self.downloads)
        return (self.boot_id, self.failed, self.step, self.unfinished, self.grows, received)

    @classmethod
    def parse(cls, text: str) -> BootReport:
        """Read the output of the command on the machine."""
        facts: dict[str, list[str]] = {}
        parts: list[dict[str, Any]] = []
        wholes: dict[str, int] = {}
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            size, _, name = rest.partition(" ")
            if word == "part" and size.isdecimal():
                parts.append({"name": name.removesuffix(".part"), "received": int(size), "heads": []})
            elif word == "from" and parts:
                parts[-1]["address"] = rest
            elif word == "head" and parts:
                parts[-1]["heads"].append(rest)
            elif word == "whole" and size.isdecimal():
                wholes[name.removesuffix(".sha512")] = int(size)
            else:
                facts.setdefault(word, []).append(rest)
        return cls(
            boot_id=facts.get("boot", [""])[0],
            failed=parse_object(facts.get("failed", [""])[0]),
            step=facts.get("step", [""])[0],
            unfinished="begun" in facts and "done" not in facts,
            downloads=tuple(
                Download(one["name"], one["received"], _size(one["heads"]), one.get("address", "")) for one in parts
            ),
            downloaded=wholes,
            grows=tuple(facts.get("grows", ())),
        )


class _Watched(Struct):
    """One machine, as it was last seen."""

    moved: float
    """When something of it last moved, by the watch's clock."""
    next_look: float
    report: BootReport = field(default_factory=BootReport)
    samples: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    """Times and bytes, by download."""
    grew: dict[str, float] = field(default_factory=dict)
    """When each download last grew."""


class BootWatch:
    """Watches machines that prepare themselves, until nothing moves on one of them.

    Args:
        limit: seconds without progress.
        state, work: the script's directories on the machines.
        every: seconds between two looks at a machine.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        limit: float,
        reporter: Reporter = silent,
        state: str = STATE,
        work: str = IN_MEMORY,
        every: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._reporter = reporter
        self._command = READ.format(state=shell_path(state), work=shell_path(work))
        self._every = every
        self._clock = clock
        self._machines: dict[str, _Watched] = {}
        self._moved = clock()
        self._has_warned = False

    @property
    def left(self) -> float:
        """Seconds until the wait ends, if nothing moves any more."""
        return self._limit - (self._clock() - self._moved)

    def moved(self) -> None:
        """Note progress that no look shows: a machine answers, Spark has another worker."""
        self._moved = self._clock()

    async def look(self, remote: ClusterConnection, machines: Iterable[str]) -> None:
        """Look at these machines, report what has moved, and refuse to wait for one that can't become ready.

        Raises:
            NotReady: a machine has failed to prepare itself at this boot, or nothing has moved on it for too long.
            RemoteError: a machine is unreachable.
        """
        now = self._clock()
        due = [name for name in machines if now >= self._watched(name).next_look]
        for name in due:
            self._watched(name).next_look = now + self._every
        answers = await asyncio.gather(*(remote.run(name, self._command) for name in due))
        for name, answer in zip(due, answers, strict=True):
            self._note(name, BootReport.parse(answer.stdout))
        for name in due:
            self._refuse_failed(name)
        self.refuse_stalled(due, after=self._limit)

    def refuse_stalled(self, machines: Iterable[str], *, after: float = 0.0) -> None:
        """Refuse to wait for a machine that has not ended its first boot.

        Args:
            after: seconds without progress on that machine.

        Raises:
            NotReady: it names the machine's step and downloads.
        """
        for name in machines:
            watched = self._watched(name)
            if watched.report.unfinished and self._clock() - watched.moved >= after:
                raise self._stalled(name, watched)

    def _watched(self, name: str) -> _Watched:
        return self._machines.setdefault(name, _Watched(self._clock(), self._clock()))

    def _note(self, name: str, report: BootReport) -> None:
        watched, now = self._watched(name), self._clock()
        before, watched.report = watched.report, report
        if report.moving != before.moving:
            watched.moved = self._moved = now
        going_on = {one.name for one in report.downloads}
        for one in (one for one in before.downloads if one.name not in going_on):
            watched.samples.pop(one.name, None)
            if one.name in report.downloaded or report.step != before.step:  # else it was wrong, and was removed
                size = report.downloaded.get(one.name, one.size or one.received)
                self._reporter(DownloadProgress(name, one.name, size, size, address=one.address, done=True))
        if report.step and report.step != before.step:
            self._reporter(MachineProgress(name, f"preparing: {report.step}"))
        for one in report.downloads:
            samples = watched.samples.setdefault(one.name, deque())
            if not samples or one.received != samples[-1][1]:
                watched.grew[one.name] = now
            if samples and one.received < samples[-1][1]:
                samples.clear()  # begun once more
            samples.append((now, one.received))
            while len(samples) > 2 and samples[1][0] <= now - RATE_SECONDS:
                samples.popleft()
            self._report_download(name, one, _rate(samples), measured=now - samples[0][0])

    def _report_download(self, machine: str, one: Download, rate: float | None, *, measured: float) -> None:
        self._reporter(DownloadProgress(machine, one.name, one.received, one.size, rate, address=one.address))
        left = (one.size - one.received) / rate if one.size and rate else 0.0
        if left > SLOW_SECONDS and measured >= RATE_SECONDS / 2 and not self._has_warned:
            self._has_warned = True
            self._reporter(
                Warned(
                    f"{machine} gets {one.name} at {rate_text(rate)}, which takes {duration(left)} more: {_MIRROR}. "
                    "pio-tf waits while it moves, until the deadline"
                )
            )

    def _refuse_failed(self, name: str) -> None:
        report = self._watched(name).report
        if not report.failed or report.failed.get("boot_id") != report.boot_id:
            return  # of an earlier boot: the machine tries again at this one
        step, reason = str(report.failed.get("step")), str(report.failed.get("reason"))
        raise NotReady(
            f"{name} could not prepare itself: step {step} failed",
            cause=reason,
            next_step=how_to_repair(name),
            details={"machine": name, "step": step, "reason": reason},
        )

    def _stalled(self, name: str, watched: _Watched) -> NotReady:
        now = self._clock()
        idle = now - watched.moved
        step, downloads = watched.report.step, watched.report.downloads
        said = [
            f"{one.name} from {one.address or 'an unknown address'}: {amount(one.received, one.size)}, last moved "
            f"{duration(now - watched.grew[one.name])} ago"
            for one in downloads
        ]
        return NotReady(
            f"{name} does not get ready: nothing has moved on it for {duration(idle)}",
            cause="; ".join([f"it is at step {step}" if step else "its first boot has not ended", *said]),
            next_step=f"{_MIRROR}; or try again, since a download continues where it was: {how_to_repair(name)}"
            if downloads
            else how_to_repair(name),
            details={
                "machine": name,
                "step": step,
                "idle_seconds": round(idle),
                "downloads": [
                    {"name": one.name, "received": one.received, "size": one.size, "address": one.address}
                    for one in downloads
                ],
            },
        )


def _rate(samples: deque[tuple[float, int]]) -> float | None:
    """Return bytes a second between the first and the last sample; None before there are two moments."""
    (began, first), (ended, last) = samples[0], samples[-1]
    return (last - first) / (ended - began) if ended > began else None


def _size(heads: Iterable[str]) -> int | None:
    """Return the size of a whole file, as the last of a server's answers gives it."""
    size: int | None = None
    status = ""
    for line in heads:
        name, _, value = line.partition(":")
        if found := _STATUS.match(line):
            status, size = found[1], None
        elif name.lower() == "content-range" and (total := value.rpartition("/")[2]).isdecimal():
            size = int(total)
        elif name.lower() == "content-length" and status == "200" and value.strip().isdecimal():
            size = int(value)
    return size
