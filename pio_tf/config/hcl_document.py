"""The content of an HCL text as plain data, with the line of every name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pio_tf.config.problems import Problem, nearest_line

Value: TypeAlias = Any  # str | int | float | bool | None | SecretReference | list[Value] | dict[str, Value]


@dataclass
class HclDocument:
    """The data of a text. Every dotted name (``spark.conf``, ``network.ssh_cidrs.0``) is a key of :attr:`lines`."""

    data: dict[str, Value] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    blocks: set[str] = field(default_factory=set)
    """Names that were written as blocks; all others are attributes."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels of blocks: ``backend "s3" {}`` gives ``{"terraform.backend": ("s3",)}``."""
    from_environment: dict[str, list[str]] = field(default_factory=dict)
    """By name, the values that came from the environment. One may be a secret, so pio-tf never shows it."""
    problems: list[Problem] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    """Names in the text that have no value in :attr:`data`, because of a problem."""

    def problem(self, name: str, message: str) -> Problem:
        """Return a problem with the line of a dotted name, else of the nearest block around it."""
        return Problem(nearest_line(name, self.lines), name, message)
