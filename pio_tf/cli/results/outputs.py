"""Terraform's outputs, apart from the other results of the stack, which need all that reads plans."""

from __future__ import annotations

from typing import ClassVar

from pio_tf.cli.results.base import Columns, CommandResult
from pio_tf.model import MachineOutput


class OutputResult(CommandResult):
    """Terraform's outputs."""

    ROWS = "machines"
    COLUMNS: ClassVar[Columns] = {
        "ROLE": "role",
        "NAME": "name",
        "ID": "instance_id",
        "PRIVATE IP": "private_ip",
        "ELASTIC IP": "eip",
    }

    cluster: str
    region: str
    machines: list[MachineOutput]
