"""Runs on the driver: prepared, listed, followed and ended over SSH by functions of ``driver.sh``."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shlex
import tarfile
import time
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from pio_tf.errors import Locked, PioTfError, RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote import commands
from pio_tf.training.runs.record import RunRecord, is_run_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.runs.record import RunState

KEPT_ON_DRIVER = 30
"""Ended runs whose directories stay on the driver, which keeps its disk for years."""
RENEWED_EVERY = 30.0
"""Seconds between two renewals of the lease by a client that uses the driver without its lock."""
LEASED_FOR = 90
"""Seconds that each of these keeps the driver on, if it lingers for less."""
TERM_SECONDS = 20
"""Seconds between SIGTERM and SIGKILL for a cancelled command."""
_LONGEST_OUTPUT = 1 << 16
"""Bytes of the output of train.on_success that a client copies."""
_SIGNALLED = 128
"""A higher exit status is 128 plus the number of the signal that ended a command."""
_EXISTS = 17
_TAIL = frozenset({"boot", "holder", "followers", "schedule", "waiting", "linger", "stuck"})
"""The words of lines about the driver, after those about its runs."""


class RunEnd(Struct, frozen=True):
    """The end of a run's command, as its runner wrote it down."""

    exit_status: int
    time: float
    """Seconds since 1970, by the driver's clock."""
    log_whole: bool
    """True if all of the output is in the log."""
    free_bytes: int
    """Free space on the log's disk."""


class DriverRun(Struct, frozen=True):
    """The driver's facts about a run."""

    id: str
    record: RunRecord
    alive: bool
    started: float | None = None
    ending: RunEnd | None = None
    cancelled_by: str = ""
    success_line: bool = False
    log_bytes: int = 0
    booted_since: bool = False
    """True if the driver has booted since the run began."""
    result: RunRecord | None = None
    """The verdict of the client that followed it to its end."""
    on_success: int | None = None
    """The exit status of the commands after a success; None: they did not run, or not to their end."""
    told_by: str = ""
    """client or driver: the sender of the message about its end; empty: no message, or not yet."""
    untold: str = ""
    """Why the driver could not send that message everywhere."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """The figures of ``run_usage.py`` so far."""

    @property
    def state(self) -> RunState:
        """Its state by the verdict, or else by the facts. A run continues while the commands after a success do."""
        if self.result is not None:
            return self.result.state
        if self.alive:
            return "running"
        if self.ending is None:
            return "cancelled" if self.cancelled_by else "lost"
        if self.ending.exit_status == 0 and self.success_line:
            return "succeeded"
        return "cancelled" if self.cancelled_by else "failed"

    def to_record(self) -> RunRecord:
        """Return its record, updated by the driver's facts."""
        if self.result is not None:
            return self.result.with_(told_by=self.told_by, usage={**self.usage, **self.result.usage})
        ending = self.ending
        return self.record.with_(
            state=self.state,
            started=self.started,
            ended=ending.time if ending else None,
            exit_status=ending.exit_status if ending else None,
            cancelled_by=self.cancelled_by,
            on_success=self.on_success,
            told_by=self.told_by,
            log_bytes=self.log_bytes,
            usage={**self.record.usage, **self.usage},
        )


class LockHolder(Struct, frozen=True):
    """The holder of the driver's lock."""

    doing: str
    """preparing, running, stopping, provisioning, changing; engine: pushed, built, saved or restored; or model."""
    who: str
    run: str = ""

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps({"doing": self.doing, "who": self.who, "run": self.run})

    @classmethod
    def from_json(cls, text: str) -> LockHolder:
        """Read what :meth:`to_json` wrote; return an unknown client's run for anything else."""
        try:
            raw = parse_json(text)
            return cls(str(raw["doing"]), str(raw["who"]), str(raw["run"]))
        except (ValueError, LookupError, TypeError):
            return cls("running", "an unknown client")


class Linger(Struct, frozen=True):
    """The driver's rule to power itself off once nothing has used it for a while."""

    seconds: int
    """How long nothing may use it."""
    left: int
    """Seconds until then, if nothing uses it."""
    problem: str = ""
    """Why the power stayed on, if it did."""


class DriverState(Struct, frozen=True):
    """The runs, oldest first, and the lock's holder; None if the lock is free."""

    runs: tuple[DriverRun, ...]
    holder: LockHolder | None
    linger: Linger | None = None
    """None: the driver does not power itself off."""
    followers: frozenset[str] = frozenset()
    """The machines that stop by themselves after the driver."""
    schedule_token: str = ""
    """The token of AWS's schedule that the driver trains on; empty: none."""
    is_awaited: bool = False
    """True if a client waits for machines that prepare themselves."""


class DriverRuns:
    """The runs on the driver of a connection. Every method raises RemoteError if the driver is unreachable."""

    def __init__(self, remote: ClusterConnection) -> None:
        self._remote = remote
        self._driver = remote.driver.name

    async def prepare(
        self, record: RunRecord, *, command: str, redactor: str, after: Mapping[str, str] | None = None
    ) -> None:
        """Create the run's directory, with everything that its start needs.

        Args:
            command: bash text.
            redactor: Perl program that hides secrets in each line of its input.
            after: files for what follows the run, of :func:`pio_tf.training.after_run.files_after_run`.

        Raises:
            Locked: the directory exists already; it stays as it is.
        """
        files = {
            "command": command,
            "record": record.to_json(),
            "redact": redactor,
            "program": runner(),
            **(after or {}),
        }
        call = f"prepare {shlex.quote(record.id)} {KEPT_ON_DRIVER}"
        done = await self._remote.run(self._driver, f"{program()}\n{call}", content=pack(files))
        if done.exit_status == _EXISTS:
            raise Locked(
                f"the driver already has a run {record.id}",
                cause=done.stderr.strip(),
                next_step="nothing was started; try again, for a run with another id",
                details={"run": record.id},
            )
        if done.exit_status != 0:
            raise _unusable(done.stderr)

    async def state(self, run: str = "") -> DriverState:
        """Return every run, or one of them, and the lock's holder."""
        return read_list(await self._call(f"list {shlex.quote(run) if run else ''}"))

    async def one(self, run: str) -> DriverRun:
        """Return one run.

        Raises:
            PioTfError: the driver has no such run.
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
        """Pass on the bytes of a run's log from ``offset`` on, until the run has ended and the log is complete.

        Args:
            once: pass on only what there is now.

        Raises:
            RemoteError: the connection was lost, or a signal ended the log's reader on the driver. What came until then
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
                f"could not read the log of {run} on the driver (exit status {status})",
                next_step=f"look at ~/.pio-tf/runs/{run} on the driver: pio-tf ssh",
                details={"run": run, "kind": "log"},
            )

    async def cancel(self, run: str, *, who: str, patience: int = TERM_SECONDS) -> str:
        """End every process of a run; return "ended" or "killed", or "gone" if it had ended before.

        Args:
            who: the client that asks for it.
            patience: seconds between SIGTERM and SIGKILL.
        """
        call = f"cancel {shlex.quote(run)} {patience} {shlex.quote(who)}"
        return (await self._call(call, timeout=patience + 30)).strip()

    async def release(self) -> None:
        """End the shell that holds the lock for a client that prepares a run."""
        await self._remote.run(self._driver, f"{program()}\nrelease")

    async def stay(self) -> bool:
        """Let the driver run until a client or AWS stops it. Return whether it would have powered itself off."""
        return bool(await self._call("stay"))

    async def renew(self, seconds: int, *, run: str = "") -> None:
        """Keep the driver on for so many seconds from now, and for ``train.linger`` at least.

        Args:
            run: a run; when it ends, this client sends the message.
        """
        await self._call(f"renew {seconds} {run and shlex.quote(run)}")

    async def claim(self, run: str) -> str:
        """Return the sender of the message about a run's end: "client", unless the driver has begun to send it."""
        return (await self._call(f"claim {shlex.quote(run)} client")).strip()

    async def on_success_log(self, run: str) -> str:
        """Return the output of the commands after a success, or its end if it is long."""
        log = f"~/.pio-tf/runs/{shlex.quote(run)}/on_success.log"
        return await self._call(f"[ ! -e {log} ] || tail -c {_LONGEST_OUTPUT} {log}")

    async def take_over(self, seconds: int) -> None:
        """Let a scheduled training that has not begun leave the machines to this client; :meth:`renew` besides."""
        await self._call(f"take_over {seconds}")

    async def wait_on(self, seconds: int) -> None:
        """Note that this client waits for machines that prepare themselves; :meth:`renew` besides."""
        await self._call(f"wait_on {seconds}")

    async def note_followers(self, machines: Iterable[str]) -> None:
        """Write down which machines stop by themselves after the driver."""
        await self._call(f"followers {shlex.quote(' '.join(sorted(machines)))}")

    async def keep(self, record: RunRecord) -> None:
        """Write the verdict beside the run's log, for every client."""
        await self._call(f"keep {shlex.quote(record.id)}", content=f"{record.to_json()}\n".encode())

    async def _call(self, call: str, *, content: bytes = b"", timeout: float = 60.0) -> str:
        """Call a function of ``driver.sh``, and return its output."""
        done = await self._remote.run(self._driver, f"{program()}\n{call}", content=content, timeout=timeout)
        if done.exit_status != 0:
            raise _unusable(done.stderr)
        return done.stdout


class Renewals(Struct):
    """The renewals of a client, by the time of day: no other clock counts while this computer sleeps."""

    lasting: int
    latest: float = field(default_factory=time.time)

    @property
    def are_late(self) -> bool:
        """Whether the driver no longer waits for this client, and sends the message about the end of a run itself."""
        return time.time() - self.latest >= self.lasting


@contextlib.asynccontextmanager
async def renewing(
    remote: ClusterConnection, *, run: str = "", every: float = RENEWED_EVERY, lasting: int = LEASED_FOR
) -> AsyncIterator[Renewals]:
    """Keep the driver on while the block runs, for as long as this computer does not sleep.

    Args:
        run: a run; when it ends, this client sends the message.
    """

    renewals = Renewals(lasting)

    async def renew() -> None:
        while True:
            with contextlib.suppress(RemoteError):  # the block notices a lost connection
                await DriverRuns(remote).renew(lasting, run=run)
                renewals.latest = time.time()
            await asyncio.sleep(every)

    renewing = asyncio.create_task(renew())
    try:
        yield renewals
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


@cache
def program() -> str:
    """Return the text of ``driver.sh``."""
    return resources.files(__package__).joinpath("driver.sh").read_text(encoding="utf-8")


@cache
def runner() -> str:
    """Return the program of a run's directory: ``driver.sh`` with what follows a run; it calls one of the functions."""
    after = resources.files(__package__).joinpath("after_run.sh").read_text(encoding="utf-8")
    return f'{program()}\n{after}\n"$@"\n'


def read_list(text: str) -> DriverState:
    """Read the output of ``list`` in ``driver.sh``, without runs whose record is unreadable."""
    groups: list[dict[str, str]] = []
    tail: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "run":
            groups.append({})
        (tail if word in _TAIL or not groups else groups[-1])[word] = rest
    boot, holder = tail.get("boot", ""), tail.get("holder", "")
    runs = [run for run in (_run(group, boot) for group in groups) if run is not None]
    return DriverState(
        tuple(sorted(runs, key=lambda run: run.id)),
        LockHolder.from_json(holder) if holder.strip() else None,
        _linger(tail),
        frozenset(tail.get("followers", "").split()),
        tail.get("schedule", ""),
        "waiting" in tail,
    )


def _linger(tail: dict[str, str]) -> Linger | None:
    words = tail.get("linger", "").split()
    if not words or not all(word.isdecimal() for word in words):
        return None
    return Linger(int(words[0]), int(words[-1]), tail.get("stuck", ""))


def _run(group: dict[str, str], boot: str) -> DriverRun | None:
    try:
        record = RunRecord.from_json(group["record"])
        process_facts = group.get("process", "").split()
        result = RunRecord.from_json(group["result"]) if "result" in group else None
        ending = _ending(group["ended"]) if "ended" in group else None
        size = int(group.get("size", "0"))
        after = group.get("on_success.ended", "").split()
        on_success = int(after[0].removeprefix("exit=")) if after else None
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
        on_success=on_success,
        told_by=group.get("told", ""),
        untold=group.get("notify.problem", ""),
        usage=_usage(group.get("usage", "")),
    )


def _usage(line: str) -> dict[str, Any]:
    try:
        found = parse_json(line) if line else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ending(line: str) -> RunEnd:
    facts = dict(pair.partition("=")[::2] for pair in line.split())
    return RunEnd(int(facts["exit"]), float(facts["ended"]), facts["filter"] == "0", int(facts["free"]))


def pack(files: Mapping[str, str]) -> bytes:
    """Return a tar archive of files that only their owner can read."""
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
        cause=lines[-1] if lines else "no message",
        next_step="check whether its disk is full (df -h ~) and the owner of ~/.pio-tf: pio-tf ssh",
        details={"machine": "driver", "kind": "runs-directory"},
    )
