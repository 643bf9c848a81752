"""Mistakes in pio-tf.hcl: where, what, and all of them in one error."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One mistake: its line (from 1; None where there is none), the dotted name (``spark.workers``), what is wrong."""

    line: int | None
    name: str
    message: str

    def render(self, file_name: str) -> str:
        """``pio-tf.hcl:12: spark.workers: must be at least 1, got 0``."""
        place = file_name if self.line is None else f"{file_name}:{self.line}"
        name = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", self.name)  # network.ssh_cidrs.0 is written network.ssh_cidrs[0]
        return ": ".join(part for part in (place, name, self.message) if part)


class Mistakes(ValueError):
    """What is wrong between several blocks, for pydantic to carry: dotted name and message of each."""

    def __init__(self, mistakes: Iterable[tuple[str, str]]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{name}: {message}" for name, message in self.mistakes))


class UnreadableHcl(Exception):
    """The text is not HCL, so nothing more can be said about it. :attr:`problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def config_error(path: Path, problems: Iterable[Problem]) -> ConfigError:
    """All problems of a file in one error, a line each, in the file's order."""
    ordered = sorted(set(problems), key=lambda problem: (problem.line or 0, problem.name, problem.message))
    these = "this line" if len(ordered) == 1 else "these lines"
    return ConfigError(
        "\n".join(problem.render(path.name) for problem in ordered),
        next_step=f"correct {these} in {path}; docs/configuration.md lists what it may say",
        details={"file": str(path), "problems": [asdict(problem) for problem in ordered]},
    )
