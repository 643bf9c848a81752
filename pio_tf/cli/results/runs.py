"""Runs, their logs and cost, and the checks before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec.structs import asdict
from pydantic import BeforeValidator, Field

from pio_tf.cli.results.base import Columns, CommandResult, Number, Outputs, ResultData, Table, TextOrNone
from pio_tf.cluster.size_advice import SizeAdvice
from pio_tf.cluster.spending import Spending, run_usd
from pio_tf.durations import duration
from pio_tf.infra.cost import Prices
from pio_tf.training.preflight import CheckResult
from pio_tf.training.runs.record import Client, RunRecord, RunState
from pio_tf.training.spark_usage import SparkUsage

if TYPE_CHECKING:
    from typing_extensions import Self

_CENT = 0.01


class ProofData(ResultData):
    """A fact that confirms or denies that there is a model."""

    name: str
    held: bool | None = Field(description="null: it could not be checked")
    detail: str


class EngineData(ResultData):
    """The engine that a run trains."""

    commit: TextOrNone = Field(description="of its sources in git; null: unknown")
    uncommitted: bool = Field(description="whether tracked files differed from that commit")
    digest: TextOrNone = Field(description="SHA-256 of the sources that `engine push` brought; null: it was not used")
    engine_json: TextOrNone = Field(description="SHA-256 of engine.json; null: unknown")
    pushed: TextOrNone = Field(description="ISO 8601: the time of that push; null: it was not used")
    edited: bool = Field(description="whether files on the driver differed from what was pushed")
    stale_build: bool = Field(description="whether sources were pushed after the last build")

    def __str__(self) -> str:
        """Return it in one line."""
        changes = " with uncommitted changes" if self.uncommitted else ""
        edits = " edited on the driver" if self.edited else ""
        parts = [
            f"commit {self.commit[:12]}{changes}" if self.commit else "",
            f"sources {self.digest[:12]}{edits}" if self.digest else "",
            "built before its sources were pushed" if self.stale_build else "",
            f"engine.json {self.engine_json[:12]}" if self.engine_json else "",
        ]
        return ", ".join(filter(None, parts))


class CustodyData(ResultData):
    """The models before a run, by the alias of each."""

    documents: dict[str, int] = Field(description="of the model that was served")
    kept: dict[str, str] = Field(description="the copy of that model")
    put_back: dict[str, str] = Field(description="the copy that is served again, because the new model was unfit")


class SizeAdviceData(ResultData):
    """A size of machines that would do after a run."""

    role: str = Field(description="driver or worker")
    machines: int = Field(description="how many of this role took part")
    reason: str
    now: str = Field(description="the instance type")
    then: TextOrNone = Field(description="the type that would do, the same if only its heap is to grow; null: none")
    heap_now_mib: int
    heap_then_mib: int | None
    with_master: bool = Field(description="whether the master has the workers' type, and its price is in the sums")
    hourly_now_usd: float | None = Field(description="of all these machines; null: the price is unknown")
    hourly_then_usd: float | None
    prices: str = Field(description="where the prices come from")
    text: str = Field(description="all of it in one line")


class RunResult(CommandResult):
    """A run. Times are seconds since 1970 by the driver's clock; null: not yet."""

    ROWS = "proofs"
    WRAPS = True
    COLUMNS: ClassVar[Columns] = {
        "PROOF": "name",
        "HOLDS": lambda proof: {True: "yes", False: "no", None: ""}[proof.held],
        "FOUND": "detail",
    }
    OUTPUTS: ClassVar[Outputs] = {
        "run": ("id", "its id"),
        "state": ("state", "the run's"),
        "model": ("model", "index or engine instance; empty: unknown"),
    }

    id: str
    cluster: str
    client: Client
    command: str = Field(description="without secrets")
    engine_dir: str
    engine: Annotated[EngineData | None, BeforeValidator(lambda facts: facts or None)] = Field(
        description="null: an older pio-tf began the run"
    )
    custody: Annotated[CustodyData | None, BeforeValidator(lambda models: models or None)] = Field(
        description="null: pio-tf.hcl has no model block"
    )
    machines: list[str] = Field(description="name, type and id of each")
    workers: int = Field(description="how many workers took part")
    absent: list[str] = Field(description="workers that took no part: AWS had no capacity for them")
    pio_tf: str = Field(description="the version of pio-tf that began it")
    state: RunState
    started: Number | None
    ended: Number | None
    seconds: Number | None = Field(description="from its start to its end")
    exit_status: int | None = Field(description="of `pio train`")
    cancelled_by: str
    cause: str = Field(description="of a failure")
    model: str = Field(description="the index, or the engine instance, that it made; empty: unknown")
    proofs: list[ProofData]
    on_success: int | None = Field(
        description="exit status of the commands of train.on_success; null: none ran, or not to the end"
    )
    told_by: str = Field(
        description="sender of the message about its end: client or driver; empty: no message, or not yet"
    )
    sign: TextOrNone = Field(description="name of the failure, if pio-tf knows it: heap, disk-full, …")
    usage: SparkUsage = Field(description="memory and cores, as Spark's pages showed them; null: not known")
    ui_port: int = Field(description="of Spark's page on the driver; 0: unknown")
    log_bytes: int
    deadline: TextOrNone = Field(
        description="ISO 8601: when AWS was to stop the machines, as of the run's start; null: no deadline"
    )

    scheduled: TextOrNone = Field(description="ISO 8601: the time of AWS's schedule that began it; null: a client did")
    cost_usd: float | None = Field(
        description="estimate for the machines while it ran; null: it runs, or a price is unknown"
    )

    @classmethod
    def of(cls, run: RunRecord, prices: Prices) -> Self:
        """Return the result that describes a run."""
        return cls.model_validate(cls._facts(run, prices))

    @classmethod
    def _facts(cls, run: RunRecord, prices: Prices) -> dict[str, object]:
        cost = run_usd(run, prices)
        return {
            **vars(run),
            "seconds": run.seconds,
            "cost_usd": None if cost is None else round(cost, 4),
            "workers": sum(machine.startswith("worker-") for machine in run.machines),
            "usage": SparkUsage.of(run.usage),
        }

    def closing(self) -> str:
        took = "" if self.seconds is None else f" after {duration(self.seconds)}"
        if self.cost_usd is not None:
            took += f", about {self.cost_usd:.2f} USD" if self.cost_usd >= _CENT else ", less than 0.01 USD"
        absent = f", without {', '.join(self.absent)}: AWS had no capacity for more workers" if self.absent else ""
        after = f"; a command of train.on_success failed with exit status {self.on_success}" if self.on_success else ""
        return f"run {self.id}: {self.state}{took}{absent}{after}"


class RunDetailsResult(RunResult):
    """A run, as ``runs show`` describes it."""

    OUTPUTS: ClassVar[Outputs] = {}

    size_advice: list[SizeAdviceData] = Field(
        description="sizes of machines that would do; empty: the run gives no reason"
    )

    @classmethod
    def with_advice(cls, run: RunRecord, prices: Prices, advice: Iterable[SizeAdvice]) -> Self:
        """Return the result that describes a run, and the advice that it gives."""
        found = [{**asdict(one), "text": str(one)} for one in advice]
        return cls.model_validate({**cls._facts(run, prices), "size_advice": found})

    def closing(self) -> str:
        lines = [super().closing()]
        if self.engine and str(self.engine):
            lines.append(f"engine: {self.engine}")
        if self.cause:
            lines.append(f"cause: {self.cause}")
        if self.custody:
            lines += [f"served again: {model} (alias {alias})" for alias, model in self.custody.put_back.items()]
        lines += usage_lines(self.usage)
        lines += [f"size: {one.text}" for one in self.size_advice]
        lines += {f"({one.prices})" for one in self.size_advice if one.prices and one.hourly_then_usd is not None}
        return "\n".join(lines)


class RunsResult(CommandResult):
    """The runs, oldest first."""

    ROWS = "runs"
    SPARE = ("EXIT", "MACHINES", "STARTED")
    COLUMNS: ClassVar[Columns] = {
        "RUN": "id",
        "STARTED": lambda run: _time(run.started),
        "DURATION": lambda run: "" if run.seconds is None else duration(run.seconds),
        "STATE": "state",
        "EXIT": "exit_status",
        "USD": lambda run: "" if run.cost_usd is None else _usd(run.cost_usd),
        "MACHINES": lambda run: _machine_types(run.machines),
        "MODEL": "model",
    }

    runs: list[RunResult]

    @classmethod
    def of(cls, runs: Iterable[RunRecord], prices: Prices) -> RunsResult:
        """Return the result that describes these runs."""
        return cls(runs=[RunResult.of(run, prices) for run in runs])

    def closing(self) -> str:
        return "" if self.runs else "no runs yet: pio-tf train"


class CostResult(CommandResult):
    """An estimate of what a cluster costs in a month, or in what has passed of it. USD; null: a price is unknown."""

    month: str = Field(description="such as 2026-11; in UTC, as all times")
    hours: float = Field(description="of the month, or those that have passed")
    trainings: int = Field(description="that began in it and have ended, in whatever way")
    training_hours: float
    training_usd: float | None = Field(description="the machines, while trainings ran")
    stopped_hourly_usd: float | None = Field(description="an hour of disks and Elastic IPs, machines on or off")
    running_hourly_usd: float | None = Field(description="an hour with all machines on")
    stopped_usd: float | None = Field(description="disks and Elastic IPs, all the time")
    total_usd: float | None = Field(description="disks, Elastic IPs and trainings")
    left_on_usd: float | None = Field(description="the same machines, on all the time")
    note: str = Field(description="where the prices come from")

    @classmethod
    def of(cls, found: Spending) -> CostResult:
        """Return the result of ``cost``."""
        names = cls.model_fields.keys() - {"month", "hours", "version"}
        figures = {name: getattr(found, name) for name in names}
        rounded = {name: round(one, 4) if isinstance(one, float) else one for name, one in figures.items()}
        whole = {"month": f"{found.month.start:%Y-%m}", "hours": round(found.month.hours, 2)}
        return cls.model_validate({**whole, **rounded})

    def table(self) -> Table:
        """Return what the month costs, and what it would cost without stops."""
        trainings = f"{self.trainings} training{'' if self.trainings == 1 else 's'}"
        rows = [
            ("disks and Elastic IPs", f"{self.hours:.1f}", self.stopped_usd),
            (trainings, f"{self.training_hours:.1f}", self.training_usd),
            ("together", "", self.total_usd),
            ("the same machines, left on", f"{self.hours:.1f}", self.left_on_usd),
        ]
        cells = [(what, hours, "unknown" if usd is None else f"{usd:.2f}") for what, hours, usd in rows]
        return Table((self.month, "HOURS", "USD"), cells)

    def closing(self) -> str:
        without = "Starts and stops around trainings, and hours that machines were on without one, are not included."
        return f"{without}\n({self.note})"


class ReportResult(CommandResult):
    """The file of a report."""

    OUTPUTS: ClassVar[Outputs] = {"report": ("path", "the file")}

    path: Path
    runs: int = Field(description="how many runs are in it")

    def closing(self) -> str:
        return f"wrote {self.path}: {self.runs} run{'' if self.runs == 1 else 's'}"


class LogLine(CommandResult):
    """A line of a run's log: one object a line of output."""

    line: str


class ChecksResult(CommandResult):
    """The results of the checks."""

    ROWS = "checks"
    WRAPS = True
    COLUMNS: ClassVar[Columns] = {
        "CHECK": "name",
        "RESULT": "status",
        "FOUND": lambda one: one.detail + (f"\nnext: {one.next_step}" if one.next_step else ""),
    }
    OUTPUTS: ClassVar[Outputs] = {
        "failed": (lambda checks: ",".join(checks.failed), "names of the checks that failed, separated by commas")
    }

    checks: list[CheckResult]

    def table(self) -> Table:
        """Return the checks, those that failed last: a terminal shows the end."""
        order = ("skipped", "ok", "warning", "failed")
        table = super().table()
        return table._replace(rows=sorted(table.rows, key=lambda row: order.index(row[1])))

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [one.name for one in self.checks if one.status == "failed"]


class NotifyPlace(ResultData):
    """A place that messages are sent to."""

    place: str = Field(description="webhook or sns_topic")
    tested: bool = Field(description="whether it took a test message")


class NotifyResult(CommandResult):
    """The places for messages about trainings."""

    ROWS = "places"
    COLUMNS: ClassVar[Columns] = {"PLACE": "place", "TEST MESSAGE": lambda one: "sent" if one.tested else ""}

    places: list[NotifyPlace]
    on: list[str] = Field(description="the results that a message is sent about")

    def closing(self) -> str:
        if not self.places:
            return "no messages are sent: add a notify block to pio-tf.hcl"
        return f"messages are sent about trainings that end as: {', '.join(self.on)}"


def usage_lines(usage: SparkUsage) -> list[str]:
    """Return what is known of a run's memory and cores, in words."""
    if not usage.is_known:
        return []
    heaps = [
        _bytes(peak) + (f" of {_bytes(heap)}" if heap else "") + f" in {name}"
        for name, peak, heap in (
            ("the driver", usage.driver_peak_bytes, usage.driver_heap_bytes),
            ("the fullest executor", usage.executor_peak_bytes, usage.executor_heap_bytes),
        )
        if peak
    ]
    memory = [f"most heap in use {', '.join(heaps)}" if heaps else "heap in use unknown (Spark 3.0 and later tell it)"]
    if usage.gc_share is not None:
        memory.append(f"garbage collection {usage.gc_share:.0%} of the tasks' time")
    if usage.disk_spilled_bytes is not None:
        memory.append(f"{_bytes(usage.disk_spilled_bytes)} spilled to disk")
    cores = [f"{usage.cores} in {usage.executors} executor{'' if usage.executors == 1 else 's'}"] if usage.cores else []
    if usage.idle_share is not None:
        cores.append(f"{usage.idle_share:.0%} of their time without a task")
    if usage.skew is not None:
        cores.append(f"the longest task of the longest stage took {usage.skew:.1f} times the median")
    found = [f"memory: {'; '.join(memory)}", f"cores: {'; '.join(cores)}" if cores else ""]
    return [*filter(None, found), f"(Spark's figures for the first {duration(usage.seen_seconds or 0)})"]


def _bytes(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%d %H:%M:%S UTC}"


def _usd(amount: float) -> str:
    return f"{amount:.2f}" if amount >= _CENT else "<0.01"


def _machine_types(machines: list[str]) -> str:
    """Return ``2 r3.xlarge`` for ``driver r3.xlarge i-1`` and ``worker-1 r3.xlarge i-2``."""
    counts = Counter(machine.split(" ")[1] for machine in machines)
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())
