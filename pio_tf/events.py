"""Progress, as events. The library reports; the command line draws them, writes them as JSON lines, or drops them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


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


Event: TypeAlias = Step | Done | Warned | ResourceProgress | MachineProgress | OutputLine
Reporter: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """A reporter that drops every event: the default in the library."""
