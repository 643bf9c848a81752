"""Progress, as events. The library reports; the command line draws them, writes them as JSON lines, or drops them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Step:
    """A stage of the work begins: ``Step("Starting 4 machines")``."""

    message: str


@dataclass(frozen=True)
class Done:
    """A stage of the work has ended well, with its result in one line."""

    message: str


@dataclass(frozen=True)
class Warned:
    """Something the user should know, that does not stop the work."""

    message: str


@dataclass(frozen=True)
class ResourceProgress:
    """One Terraform resource: refreshed, or created, changed or destroyed."""

    address: str
    action: str  # Terraform's word: refresh, create, read, update, replace, delete
    status: Literal["started", "running", "done", "failed"]
    elapsed_seconds: float = 0.0
    id: str = ""
    """AWS's id of it, once Terraform has made it."""


@dataclass(frozen=True)
class MachineProgress:
    """One machine changes: ``detail`` is its state in words (``pending``, ``running``, ``ssh ready``, ``stopped``)."""

    machine: str
    detail: str
    ready: bool = False


@dataclass(frozen=True)
class OutputLine:
    """A line that a command on a machine, or Terraform, has written."""

    text: str
    source: str = ""


@dataclass(frozen=True)
class Checked:
    """One check before a training has ended: ``detail`` is what it found."""

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is: what Spark's own pages said last. Counts are None where Spark has not been asked yet, or
    does not answer (before the application starts, after it ends)."""

    run: str
    elapsed_seconds: float
    deadline: datetime | None = None
    """When AWS stops the machines, whatever happens; None: no deadline is set."""
    jobs_done: int | None = None
    jobs: int | None = None
    stages_done: int | None = None
    stages: int | None = None
    tasks_done: int | None = None
    """Tasks of the active stages."""
    tasks: int | None = None
    stage: str = ""
    """Name of the stage that is active, in Spark's words: ``collect at Foo.scala:12``."""
    executors: int | None = None
    """Executors that are alive, without the driver."""


Event: TypeAlias = Step | Done | Warned | ResourceProgress | MachineProgress | OutputLine | Checked | TrainingProgress
Reporter: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """A reporter that drops every event: the default in the library."""
