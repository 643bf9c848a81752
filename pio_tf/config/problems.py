"""Mistakes in pio-tf.hcl: their place, their message, and one error for all of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Problem(Struct, frozen=True):
    """One mistake: its line (from 1, or None), the dotted name (``spark.workers``), and the message."""

    line: int | None
    name: str
    message: str

    def render(self, file_name: str) -> str:
        """Return ``pio-tf.hcl:12: spark.workers: must be at least 1, got 0``."""
        place = file_name if self.line is None else f"{file_name}:{self.line}"
        name = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", self.name)  # network.ssh_cidrs.0 is written network.ssh_cidrs[0]
        return ": ".join(part for part in (place, name, self.message) if part)


class Mistakes(ValueError):
    """Mistakes between several blocks, as pydantic carries them: dotted name and message of each."""

    def __init__(self, mistakes: Iterable[tuple[str, str]]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{name}: {message}" for name, message in self.mistakes))


class UnreadableHcl(Exception):
    """A text that is not HCL. :attr:`problem` is the first syntax error."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def nearest_line(name: str, lines: Mapping[str, int]) -> int | None:
    """Return the line of a dotted name, else of the nearest block around it."""
    while name and name not in lines:
        name = name.rpartition(".")[0]
    return lines.get(name)


def config_error(path: Path, problems: Iterable[Problem]) -> ConfigError:
    """Return one error for all problems of a file, a line each, in the file's order."""
    ordered = sorted(set(problems), key=lambda problem: (problem.line or 0, problem.name, problem.message))
    these = "this line" if len(ordered) == 1 else "these lines"
    return ConfigError(
        "\n".join(problem.render(path.name) for problem in ordered),
        next_step=f"correct {these} in {path}; docs/configuration.md describes every option",
        details={"file": str(path), "problems": [asdict(problem) for problem in ordered]},
    )
