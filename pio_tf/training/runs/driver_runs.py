"""The runs that the driver has: asked, started, ended and read over SSH. ``driver.sh`` is the other side."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pio_tf.errors import Locked, PioTfError, RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote import commands
from pio_tf.training.runs.record import RunRecord, is_run_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.runs.record import RunState

KEPT_ON_DRIVER = 30
"""Runs that have ended and whose directories stay on the driver: its disk is kept for years."""
TERM_SECONDS = 20
"""What a cancelled command has, between SIGTERM and SIGKILL, to end."""
_SIGNALLED = 128
"""An exit status above it: 128 and the number of the signal that has ended a command."""
_EXISTS = 17


@dataclass(frozen=True)
class RunEnd:
    """How the command of a run ended, as the runner wrote it down."""

    exit_status: int
    time: float
    """Seconds since 1970, by the driver's clock."""
    log_whole: bool
    """Whether all of the output went into the log."""
    free_bytes: int
    """Left on the log's disk."""


@dataclass(frozen=True)
class DriverRun:
    """What the driver knows of a run."""

    id: str
    record: RunRecord
    alive: bool
    started: float | None = None
    ending: RunEnd | None = None
    cancelled_by: str = ""
    success_line: bool = False
    log_bytes: int = 0
    booted_since: bool = False
    """Whether the driver has booted after the run began."""
    result: RunRecord | None = None
    """The verdict of whoever followed it to its end."""

    @property
    def state(self) -> RunState:
        """Going by the verdict, else by the facts."""
        if self.result is not None:
            return self.result.state
        if self.ending is None:
            return "running" if self.alive else "cancelled" if self.cancelled_by else "lost"
        if self.ending.exit_status == 0 and self.success_line:
            return "succeeded"
        return "cancelled" if self.cancelled_by else "failed"

    def known(self) -> RunRecord:
        """Its record with what the driver knows now."""
        if self.result is not None:
            return self.result
        ending = self.ending
        return self.record.with_(
            state=self.state,
            started=self.started,
            ended=ending.time if ending else None,
            exit_status=ending.exit_status if ending else None,
            cancelled_by=self.cancelled_by,
            log_bytes=self.log_bytes,
        )


@dataclass(frozen=True)
class Holder:
    """Who holds the driver's lock, and for what: ``doing`` is "preparing", "running" or "stopping"."""

    doing: str
    who: str
    run: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"doing": self.doing, "who": self.who, "run": self.run})

    @classmethod
    def from_json(cls, text: str) -> Holder:
        """What :meth:`to_json` wrote; anything else holds the lock as nobody."""
        try:
            raw = parse_json(text)
            return cls(str(raw["doing"]), str(raw["who"]), str(raw["run"]))
        except (ValueError, LookupError, TypeError):
            return cls("running", "somebody")


@dataclass(frozen=True)
class DriverState:
    """The runs, oldest first, and who holds the lock; None where it is free."""

    runs: tuple[DriverRun, ...]
    holder: Holder | None


class DriverRuns:
    """The runs on the driver that ``remote`` is connected to. All of it raises RemoteError when it cannot be asked."""

    def __init__(self, remote: ClusterConnection) -> None:
        self._remote = remote
        self._driver = remote.driver.name

    async def prepare(self, record: RunRecord, *, command: str, redactor: str) -> None:
        """Make the run's directory, with all that is needed to start it.

        Args:
            command: bash text.
            redactor: Perl program that hides secrets in each line of its input.

        Raises:
            Locked: there is such a directory already; it is left as it is.
        """
        files = {
            "command": command,
            "record": record.to_json(),
            "redact": redactor,
            "program": program() + '\n"$@"\n',
        }
        call = f"prepare {shlex.quote(record.id)} {KEPT_ON_DRIVER}"
        done = await self._remote.run(self._driver, f"{program()}\n{call}", content=_archive(files))
        if done.exit_status == _EXISTS:
            raise Locked(
                f"there is a run {record.id} on the driver already",
                cause=done.stderr.strip(),
                next_step="nothing was started; try again, for a run with another id",
                details={"run": record.id},
            )
        if done.exit_status != 0:
            raise _unusable(done.stderr)

    async def state(self, run: str = "") -> DriverState:
        """Every run, or one of them."""
        done = await self._remote.run(self._driver, f"{program()}\nlist {shlex.quote(run) if run else ''}")
        if done.exit_status != 0:
            raise _unusable(done.stderr)
        return read_list(done.stdout)

    async def one(self, run: str) -> DriverRun:
        """One run.

        Raises:
            PioTfError: the driver has none of that id.
        """
        found = (await self.state(run)).runs
        if not found:
            raise PioTfError(
                f"the driver has no run {run}",
                cause="it never started there, or its directory was removed",
                next_step="pio-tf runs",
            )
        return found[0]

    async def follow(self, run: str, offset: int, on_data: Callable[[bytes], None], *, once: bool = False) -> None:
        """Hand out the bytes of a run's log from ``offset`` on, until the run has ended and all are handed out.

        Args:
            once: only what there is now.

        Raises:
            RemoteError: the connection was lost, or what reads the log there was killed; what was handed out until then
                is part of the log.
        """
        connection = await self._remote.connection(self._driver)
        call = f"follow {shlex.quote(run)} {offset}" + (" once" if once else "")
        status = await commands.stream_bytes(connection, self._driver, f"{program()}\n{call}", on_data)
        if status > _SIGNALLED:  # a driver that is short of memory kills small processes, too
            raise RemoteError(
                f"the driver does not read the log of {run} any more",
                cause=f"signal {status - _SIGNALLED} ended its reader there",
                next_step=f"pio-tf logs -f {run}",
                details={"run": run, "kind": "reader-killed"},
            )
        if status != 0:
            raise RemoteError(
                f"the log of {run} cannot be read on the driver (exit status {status})",
                next_step=f"look at ~/.pio-tf/runs/{run} on the driver: pio-tf ssh",
                details={"run": run, "kind": "log"},
            )

    async def cancel(self, run: str, *, who: str, patience: int = TERM_SECONDS) -> str:
        """End a run's command and every process of it; "gone" where it had ended, "ended" or "killed".

        Args:
            patience: seconds between SIGTERM and SIGKILL.
        """
        call = f"cancel {shlex.quote(run)} {patience} {shlex.quote(who)}"
        done = await self._remote.run(self._driver, f"{program()}\n{call}", timeout=patience + 30)
        if done.exit_status != 0:
            raise _unusable(done.stderr)
        return done.stdout.strip()

    async def release(self) -> None:
        """End the shell that holds the lock for a client that prepares a run."""
        await self._remote.run(self._driver, f"{program()}\nrelease")

    async def keep(self, record: RunRecord) -> None:
        """Write the verdict beside the run's log, where every client finds it."""
        call = f"keep {shlex.quote(record.id)}"
        done = await self._remote.run(self._driver, f"{program()}\n{call}", content=f"{record.to_json()}\n".encode())
        if done.exit_status != 0:
            raise _unusable(done.stderr)


@cache
def program() -> str:
    """The text of ``driver.sh``."""
    return resources.files(__package__).joinpath("driver.sh").read_text(encoding="utf-8")


def read_list(text: str) -> DriverState:
    """What the function ``list`` of ``driver.sh`` printed. Runs whose record cannot be read are left out."""
    groups: list[dict[str, str]] = []
    tail: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "run":
            groups.append({})
        (tail if word in ("boot", "holder") or not groups else groups[-1])[word] = rest
    boot = tail.get("boot", "")
    runs = [run for run in (_run(group, boot) for group in groups) if run is not None]
    holder = tail.get("holder", "")
    return DriverState(
        tuple(sorted(runs, key=lambda run: run.id)), Holder.from_json(holder) if holder.strip() else None
    )


def _run(group: dict[str, str], boot: str) -> DriverRun | None:
    try:
        record = RunRecord.from_json(group["record"])
        process_facts = group.get("process", "").split()
        result = RunRecord.from_json(group["result"]) if "result" in group else None
        ending = _ending(group["ended"]) if "ended" in group else None
        size = int(group.get("size", "0"))
        started = float(process_facts[3]) if process_facts else None
    except (ValueError, LookupError):
        return None
    if not is_run_id(group["run"]) or group["run"] != record.id or (result and result.id != record.id):
        return None
    return DriverRun(
        id=record.id,
        record=record,
        alive="alive" in group,
        started=started,
        ending=ending,
        cancelled_by=group.get("cancelled", ""),
        success_line="success" in group,
        log_bytes=size,
        booted_since=bool(process_facts) and process_facts[2] != boot,
        result=result,
    )


def _ending(line: str) -> RunEnd:
    facts = dict(pair.partition("=")[::2] for pair in line.split())
    return RunEnd(int(facts["exit"]), float(facts["ended"]), facts["filter"] == "0", int(facts["free"]))


def _archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _unusable(why: str) -> RemoteError:
    lines = why.strip().splitlines()
    return RemoteError(
        "the driver cannot keep runs in ~/.pio-tf",
        cause=lines[-1] if lines else "no reason was given",
        next_step="look whether its disk is full (df -h ~) and who owns ~/.pio-tf: pio-tf ssh",
        details={"machine": "driver", "kind": "runs-directory"},
    )
