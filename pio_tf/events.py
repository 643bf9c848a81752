"""Progress as events. The library reports them; the command line draws, writes (as JSON lines) or drops them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime


class Step(Struct, frozen=True):
    """The start of a stage: ``Step("Starting 4 machines")``."""

    message: str
    usually: str = ""
    """How long it usually takes, if a person waits for it: ``1 to 2 minutes``."""


class Done(Struct, frozen=True):
    """The successful end of a stage, with its result in one line."""

    message: str


class Warned(Struct, frozen=True):
    """A warning, which does not stop the work."""

    message: str


class ResourceProgress(Struct, frozen=True):
    """The progress of one Terraform resource: refreshed, created, changed or destroyed."""

    address: str
    action: str  # Terraform's word: refresh, create, read, update, replace, delete
    status: Literal["started", "running", "done", "failed"]
    elapsed_seconds: float = 0.0
    id: str = ""
    """AWS's id of the resource, once Terraform has created it."""


class MachineProgress(Struct, frozen=True):
    """A change of one machine. ``detail`` is its state: ``pending``, ``running``, ``ssh ready``, ``stopped``."""

    machine: str
    detail: str
    ready: bool = False


class DownloadProgress(Struct, frozen=True):
    """The progress of one archive that a machine downloads at its first boot, or this computer for a mirror."""

    machine: str
    """Name of the machine; ``mirror``: this computer."""
    name: str
    """Component and version: ``spark-2.1.3``."""
    received: int
    """Bytes."""
    size: int | None = None
    """Bytes; None: the server does not say."""
    bytes_per_second: float | None = None
    """Mean of the last seconds; None: not measured yet."""
    address: str = ""
    done: bool = False


class OutputLine(Struct, frozen=True):
    """A line of output from Terraform or a command on a machine."""

    text: str
    source: str = ""


class OutputLines(Struct, frozen=True):
    """Lines of a training's log that came at once, each with a newline at its end."""

    text: str
    source: str = ""

    def lines(self) -> list[OutputLine]:
        """Return each line as an event of its own."""
        return [OutputLine(line, self.source) for line in self.text.split("\n")[:-1]]


class Checked(Struct, frozen=True):
    """The end of one check before a training. ``detail`` is its finding."""

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str


class TrainingProgress(Struct, frozen=True):
    """The progress of a training, from Spark's own pages.

    Counts are None while Spark does not answer: before the application starts, after it ends, and before the first
    answer.
    """

    run: str
    elapsed_seconds: float
    deadline: datetime | None = None
    """When AWS stops the machines, even if the client is gone; None: there is no deadline."""
    jobs_done: int | None = None
    jobs: int | None = None
    stages_done: int | None = None
    stages: int | None = None
    tasks_done: int | None = None
    """Tasks of the active stages."""
    tasks: int | None = None
    stage: str = ""
    """Spark's name of the active stage: ``collect at Foo.scala:12``."""
    executors: int | None = None
    """Live executors, without the driver."""


Event: TypeAlias = (
    Step
    | Done
    | Warned
    | ResourceProgress
    | MachineProgress
    | DownloadProgress
    | OutputLine
    | OutputLines
    | Checked
    | TrainingProgress
)
Reporter: TypeAlias = Callable[[Event], None]


def line_by_line(reporter: Reporter) -> Reporter:
    """Return a reporter that passes each of several lines to ``reporter`` as an ``OutputLine``."""

    def report(event: Event) -> None:
        if isinstance(event, OutputLines):
            for line in event.lines():
                reporter(line)
        else:
            reporter(event)

    return report


def silent(_event: Event) -> None:
    """Drop an event. This is the library's default reporter."""
