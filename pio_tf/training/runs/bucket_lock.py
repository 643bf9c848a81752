"""The run lock in the state bucket: which client trains, or is about to, even while the driver is off.

The driver's own lock (:mod:`pio_tf.training.runs.driver_lock`) is authoritative, but only reachable while the driver
runs. This one is an object that names a client and a run. A conditional write creates it, so that only one of many
clients gets it. Its client removes it once the run has ended and the machines are stopped. If that client was killed,
facts about the driver and the run decide, and not the object's age alone. The next client then overwrites exactly the
version that it has read.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.durations import duration
from pio_tf.errors import Locked, MachinesMayBeRunning, PioTfError
from pio_tf.events import Reporter, Warned, silent
from pio_tf.json_text import parse_json
from pio_tf.training.runs.driver_lock import locked_by
from pio_tf.training.runs.record import ENDED, Client, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pio_tf.training.runs.driver_runs import LockHolder
    from pio_tf.training.runs.record import RunState
    from pio_tf.training.runs.run_copies import RunBucket

BEFORE_THE_START = 900
"""Seconds for a client with the lock to plan, apply and check, besides the time for the start of machines."""
_TRIES = 5
"""Attempts to take a lock that other clients take and release meanwhile."""


class Claim(Struct, frozen=True):
    """The content of the lock: a client and its run."""

    client: Client
    run: str
    process: str = ""
    """Identifies the client's process on its computer: boot, namespace of process ids, start."""
    stopping: bool = False
    """True if the client has begun to stop the machines: a cancelled job may be killed before they are stopped."""

    def to_json(self) -> str:
        """Return one line of JSON."""
        own = {"run": self.run, "process": self.process, "stopping": self.stopping}
        return json.dumps({"version": 1, **asdict(self.client), **own})

    @classmethod
    def from_json(cls, text: str) -> Claim:
        """Read what :meth:`to_json` wrote; return an unknown client's claim for anything else."""
        try:
            raw = parse_json(text)
            client = Client(str(raw["owner"]), str(raw["host"]), int(raw["pid"]), str(raw["since"]))
            return cls(client, str(raw["run"]), str(raw.get("process", "")), raw.get("stopping") is True)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            return cls(Client("an unknown user", "an unknown computer", 0, "an unknown time"), "")

    @classmethod
    def here(cls, run: str, client: Client) -> Claim:
        """Return the claim of a client on this computer."""
        return cls(client, run, _process(client.pid))

    @property
    def has_died(self) -> bool:
        """True if a process of this computer made the lock and has ended; False if that is unknown."""
        mine = _process(os.getpid())
        same_place = bool(mine) and self.process.rpartition("/")[0] == mine.rpartition("/")[0]
        return same_place and _process(self.client.pid) != self.process


class StoredClaim(Struct, frozen=True):
    """A claim as it is in the bucket."""

    claim: Claim
    etag: str
    age: float = 0.0
    """Seconds, by S3's clock."""


class DriverReport(Struct, frozen=True):
    """The driver's power, lock and runs, which decide whether a claim is stale."""

    power: Literal["off", "on", "changing"]
    holder: LockHolder | None = None
    """The holder of the driver's own lock."""
    runs: Mapping[str, RunState] = {}
    silent: str = ""
    """Why a running driver does not answer."""


@dataclass(kw_only=True)
class BucketLock:
    """The run lock of a cluster, for one client and one command."""

    bucket: RunBucket
    """The lock's bucket."""
    report_driver: Callable[[], DriverReport]
    """Asks AWS and the driver. Called only if another client has the lock."""
    starts_within: float
    """Maximum seconds between taking or renewing the lock and the start of the run."""
    client: Client = field(default_factory=Client.here)
    """The client that wants the lock; default: this process."""
    report: Reporter = silent
    clock: Callable[[], float] = time.monotonic
    _own: StoredClaim | None = field(default=None, init=False)
    _written: float = field(default=0.0, init=False)

    @property
    def is_held(self) -> bool:
        """Whether this client has the lock, as far as it knows."""
        return self._own is not None

    def around(self, run: str, work: Callable[[], RunRecord]) -> RunRecord:
        """Hold the lock while ``work`` prepares and follows a run and stops its machines; longer, if the run continues.

        Raises:
            Locked: another client has it. ``work`` was not called.
        """
        self.take(run)
        try:
            record = work()
        except MachinesMayBeRunning:
            raise  # the run may continue, too: the next client checks that
        except BaseException:
            self.release()
            raise
        if record.state in ENDED:
            self.release()
        return record

    def take(self, run: str) -> None:
        """Take the lock, even from a client that is gone.

        Raises:
            Locked: another client has it.
            AwsError: S3 refuses.
        """
        objects, key = self.bucket.objects, self.bucket.lock_key
        claim = Claim.here(run, self.client)
        body = claim.to_json().encode()
        for _ in range(_TRIES):
            etag = objects.create(key, body)
            found = None if etag else self.look()
            if found is not None:
                why = self._stale_or_locked(found)
                etag = objects.replace(key, body, etag=found.etag)
                if etag is not None:
                    self.report(Warned(f"took over the stale run lock of {found.claim.client} ({why})"))
            if etag is not None:
                self._own, self._written = StoredClaim(claim, etag), self.clock()
                return
        raise Locked(
            "other clients keep taking and releasing the run lock",
            cause=self.bucket.url(key),
            next_step="try again; `pio-tf runs` shows their runs",
        )

    def renew(self) -> None:
        """Write the lock again if this client has it and has had it for a while. Raises nothing: it only gets older.

        A first boot may take longer than ``starts_within``, and other clients go by the lock's age.
        """
        own = self._own
        if own is None or self.clock() < self._written + self.starts_within / 4:
            return
        with contextlib.suppress(PioTfError):
            etag = self.bucket.objects.replace(self.bucket.lock_key, own.claim.to_json().encode(), etag=own.etag)
            if etag is not None:  # None: another client has taken it over, which `release` finds out
                self._own, self._written = replace(own, etag=etag), self.clock()

    def release(self) -> None:
        """Release the lock if this client still has it. Raises nothing: a lock that stays is stale."""
        own, self._own = self._own, None
        if own is not None:
            self._remove(own)

    def look(self) -> StoredClaim | None:
        """Return the claim in the bucket; None if the lock is free."""
        found = self.bucket.objects.read(self.bucket.lock_key)
        if found is None:
            return None
        return StoredClaim(Claim.from_json(found.body.decode("utf-8", "replace")), found.etag, found.age)

    def before_stopping(self, *, force: bool = False) -> None:
        """Publish that this client stops the machines, if it has the lock; else refuse if another is about to train.

        Args:
            force: do not refuse.

        Raises:
            Locked: another client is about to train. Only the driver knows of a run that has begun.
        """
        if self._own is not None:
            claim = replace(self._own.claim, stopping=True)
            body = claim.to_json().encode()
            etag = self.bucket.objects.replace(self.bucket.lock_key, body, etag=self._own.etag)
            self._own = StoredClaim(claim, etag) if etag else None  # None: another client has taken it over
        if self._own is None and not force:
            found = self.look()
            if found is not None and not found.claim.stopping and not self._why_not_starting(found):
                raise self._locked(found)

    def remove_stale(self) -> None:
        """Remove a stale lock of another client, after the machines have stopped. Raises nothing."""
        with contextlib.suppress(PioTfError):
            found = self.look()
            own = self._own is not None and found is not None and found.etag == self._own.etag
            if found is not None and not own and self._why_stale(found, self.report_driver()):
                self._remove(found)

    def _remove(self, stored: StoredClaim) -> None:
        try:
            self.bucket.objects.remove(self.bucket.lock_key, etag=stored.etag)
        except PioTfError as error:
            self.report(Warned(f"could not remove the run lock, which the next client takes over: {error}"))

    def _stale_or_locked(self, found: StoredClaim) -> str:
        """Return why the claim is stale; raise Locked if it is not."""
        driver = self.report_driver()
        why = self._why_stale(found, driver)
        if not why:
            raise locked_by(driver.holder) if driver.holder is not None else self._locked(found, driver.silent)
        return why

    def _why_stale(self, found: StoredClaim, driver: DriverReport) -> str:
        """Return why the claim is stale; empty if it is not, or that is unknown."""
        run = found.claim.run
        if driver.silent or driver.holder is not None or driver.power == "changing":
            return ""
        if run in driver.runs:
            return f"run {run} has ended" if driver.runs[run] in ENDED else ""
        if self.bucket.has(run):
            return "the driver is off" if driver.power == "off" else f"the driver has no run {run} any more"
        if found.claim.stopping and driver.power == "off":
            return "it was stopping the machines, which are stopped"
        return self._why_not_starting(found)

    def _why_not_starting(self, found: StoredClaim) -> str:
        """Return why the claim's client is not about to start its run; empty if it is."""
        if found.claim.has_died:
            return f"its process {found.claim.client.pid} on this computer has ended"
        if found.age > self.starts_within:
            return f"it is {duration(found.age)} old, and no run has begun"
        return "its run has begun" if self.bucket.has(found.claim.run) else ""

    def _locked(self, found: StoredClaim, silent_because: str = "") -> Locked:
        claim = found.claim
        what = f"{f'run {claim.run}' if claim.run else 'a run'} is being started, or its machines stopped,"
        if not claim.run and claim.client.pid:
            what = "the machines are being changed"
        cause = f"{self.bucket.url(self.bucket.lock_key)}, written {duration(found.age)} ago"
        if silent_because:
            cause += f"; the driver could not be asked: {silent_because}"
        return Locked(
            f"{what} by {claim.client}",
            cause=cause,
            next_step="wait until it has ended: `pio-tf status`, `pio-tf runs`. If its client was killed, the next one "
            "takes the lock over: once the machines are stopped or, if no run has begun, "
            f"{duration(self.starts_within)} after it was written. `pio-tf down --force` stops the machines anyway",
            details={"run": claim.run, "who": str(claim.client), "doing": "starting", "age": found.age},
        )


def _process(pid: int) -> str:
    """Return ``boot/namespace/start`` of a process here; empty if there is none, or that is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        # After the name, which may hold blanks; the 22nd field is the start, in clock ticks after boot.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot}/{namespace}/{fields[19]}"
