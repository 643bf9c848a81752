"""The run lock in the bucket: who is about to train, or trains, also while the driver is off.

The lock of the driver's kernel (:mod:`pio_tf.training.runs.driver_lock`) is the truth about what runs there; but it can
be asked only while the driver runs. This one is an object that names a client and a run. It is made by a conditional
write, so that one of many clients gets it, and removed once the run has ended and the machines are stopped. A client
that was killed leaves it behind: then facts decide, not its age alone, and the next client writes over exactly what it
has read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    from pio_tf.training.runs.run_bucket import RunBucket

BEFORE_THE_START = 900
"""Seconds that a client with the lock has to plan, apply and check, besides the time that machines have to start."""
_TRIES = 5
"""How often it is tried again where others take and release the lock just then."""


@dataclass(frozen=True)
class Claim:
    """Who has the lock, and for which run."""

    client: Client
    run: str
    process: str = ""
    """Tells the client's process from all others, on its computer: boot, namespace of process ids, start."""
    stopping: bool = False
    """Whether it has come to stop the machines: a job that is cancelled may be killed before they are stopped."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"version": 1, **dataclasses.asdict(self.client), **self._rest})

    @property
    def _rest(self) -> dict[str, object]:
        return {"run": self.run, "process": self.process, "stopping": self.stopping}

    @classmethod
    def from_json(cls, text: str) -> Claim:
        """What :meth:`to_json` wrote; anything else is the claim of nobody that is known."""
        try:
            raw = parse_json(text)
            client = Client(str(raw["owner"]), str(raw["host"]), int(raw["pid"]), str(raw["since"]))
            return cls(client, str(raw["run"]), str(raw.get("process", "")), raw.get("stopping") is True)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            return cls(Client("somebody", "an unknown computer", 0, "an unknown time"), "")

    @classmethod
    def here(cls, run: str, client: Client) -> Claim:
        """Of a client on this computer."""
        return cls(client, run, _process(client.pid))

    @property
    def has_died(self) -> bool:
        """Whether it was made by a process of this computer that has ended; False where that cannot be known."""
        mine = _process(os.getpid())
        same_place = bool(mine) and self.process.rpartition("/")[0] == mine.rpartition("/")[0]
        return same_place and _process(self.client.pid) != self.process


@dataclass(frozen=True)
class Held:
    """The lock as it was read."""

    claim: Claim
    etag: str
    age: float
    """Seconds, by S3's clock."""


@dataclass(frozen=True)
class Facts:
    """What is known of the driver."""

    power: Literal["off", "on", "changing"]
    holder: LockHolder | None = None
    """Who holds the lock of its kernel."""
    runs: Mapping[str, RunState] = field(default_factory=dict)
    silent: str = ""
    """Why it cannot be asked, though it runs."""


class Claims:
    """The run lock of a cluster, for one client.

    Args:
        bucket: where the lock is.
        facts: asks AWS and the driver. Called only where somebody else has the lock.
        starts_within: seconds in which a client that has the lock comes to start its run, at the latest.
        client: who wants it.
    """

    def __init__(
        self,
        bucket: RunBucket,
        *,
        facts: Callable[[], Facts],
        starts_within: float,
        client: Client | None = None,
        reporter: Reporter = silent,
    ) -> None:
        self._bucket = bucket
        self._facts = facts
        self._starts_within = starts_within
        self._client = client or Client.here()
        self._report = reporter
        self._own: Held | None = None

    def around(self, run: str, work: Callable[[], RunRecord]) -> RunRecord:
        """Hold the lock while a run is prepared, runs and its machines are stopped; longer, if it goes on by itself.

        Raises:
            Locked: somebody else has it. ``work`` was not called.
        """
        self.take(run)
        try:
            record = work()
        except MachinesMayBeRunning:
            raise  # and so may the run: whoever comes next, looks
        except BaseException:
            self.release()
            raise
        if record.state in ENDED:
            self.release()
        return record

    def take(self, run: str) -> Held:
        """Take the lock, also from a client that is gone.

        Raises:
            Locked: somebody else has it.
            AwsError: S3 does not do it.
        """
        body = Claim.here(run, self._client).to_json().encode()
        for _ in range(_TRIES):
            etag = self._bucket.objects.create(self._bucket.lock_key, body)
            there = None if etag else self.look()
            if etag is None and there is not None:
                why = self._gone_or_locked(there)
                etag = self._bucket.objects.replace(self._bucket.lock_key, body, etag=there.etag)
                if etag is not None:
                    self._report(Warned(f"the run lock of {there.claim.client} was left behind ({why}): taken over"))
            if etag is not None:
                self._own = Held(Claim.here(run, self._client), etag, 0.0)
                return self._own
        raise Locked(
            "other clients take and release the run lock all the time",
            cause=self._bucket.url(self._bucket.lock_key),
            next_step="try again; `pio-tf runs` shows what they do",
        )

    def release(self) -> None:
        """Give back the lock, if it is still this client's. Raises nothing: whoever finds it, finds it left behind."""
        own, self._own = self._own, None
        if own is not None:
            self._remove(own)

    def look(self) -> Held | None:
        """Who has the lock; None: nobody."""
        found = self._bucket.objects.read(self._bucket.lock_key)
        return Held(Claim.from_json(found.body.decode("utf-8", "replace")), found.etag, found.age) if found else None

    def before_stopping(self, *, force: bool = False) -> None:
        """Say that this client stops the machines, if it has the lock; else see that nobody is about to train on them.

        Args:
            force: stop them whoever is.

        Raises:
            Locked: that client and its run. What has begun, the driver knows: it is not looked at here.
        """
        if self._own is not None:
            claim = dataclasses.replace(self._own.claim, stopping=True)
            body = claim.to_json().encode()
            etag = self._bucket.objects.replace(self._bucket.lock_key, body, etag=self._own.etag)
            self._own = Held(claim, etag, 0.0) if etag else None  # None: somebody has taken it over since
        if self._own is None and not force:
            there = self.look()
            if there is not None and not there.claim.stopping and not self._why_not_starting(there):
                raise self._locked(there)

    def tidy(self) -> None:
        """Remove the lock where it was left behind: the machines have just been stopped. Raises nothing."""
        with contextlib.suppress(PioTfError):
            there = self.look()
            if there is not None and not self._is_own(there) and self._why_left_behind(there, self._facts()):
                self._remove(there)

    def _is_own(self, held: Held) -> bool:
        return self._own is not None and held.etag == self._own.etag

    def _remove(self, held: Held) -> None:
        try:
            self._bucket.objects.remove(self._bucket.lock_key, etag=held.etag)
        except PioTfError as error:
            self._report(Warned(f"the run lock is still there, and will be taken for left behind: {error}"))

    def _gone_or_locked(self, there: Held) -> str:
        """Why the lock was left behind. Raises Locked if it was not."""
        facts = self._facts()
        why = self._why_left_behind(there, facts)
        if why:
            return why
        if facts.holder is not None:
            raise locked_by(facts.holder)
        raise self._locked(there, facts.silent)

    def _why_left_behind(self, there: Held, facts: Facts) -> str:
        """Empty: it was not, or nobody knows."""
        run = there.claim.run
        if facts.silent or facts.holder is not None or facts.power == "changing":
            return ""
        if run in facts.runs:
            return f"run {run} has ended" if facts.runs[run] in ENDED else ""
        if self._bucket.has(run):
            return "the driver is off" if facts.power == "off" else f"the driver has no run {run} any more"
        if there.claim.stopping and facts.power == "off":
            return "it was stopping the machines, which are stopped"
        return self._why_not_starting(there)

    def _why_not_starting(self, there: Held) -> str:
        """Why a client that has the lock is not about to start its run; empty: it is."""
        if there.claim.has_died:
            return f"its process {there.claim.client.pid} on this computer has ended"
        if there.age > self._starts_within:
            return f"it is {duration(there.age)} old, and no run has begun"
        return "its run has begun" if self._bucket.has(there.claim.run) else ""

    def _locked(self, there: Held, silent_because: str = "") -> Locked:
        claim = there.claim
        what = f"run {claim.run}" if claim.run else "a run"
        cause = f"{self._bucket.url(self._bucket.lock_key)}, written {duration(there.age)} ago"
        if silent_because:
            cause += f"; the driver, which would know better, cannot be asked: {silent_because}"
        return Locked(
            f"{what} is being started, or its machines stopped, by {claim.client}",
            cause=cause,
            next_step="wait until it has ended: `pio-tf status`, `pio-tf runs`. If its client was killed, the lock is "
            f"taken over by itself: once the machines are stopped, or {duration(self._starts_within)} after it was "
            "written, where no run has begun. `pio-tf down --force` stops the machines whatever goes on there",
            details={"run": claim.run, "who": str(claim.client), "doing": "starting", "age": there.age},
        )


def _process(pid: int) -> str:
    """``boot/namespace/start`` of a process here; empty where there is none, or nobody can tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        # After the name, which may hold blanks; the 22nd field is the start, in clock ticks after boot.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot}/{namespace}/{fields[19]}"
