"""The health of a machine that is not ready: AWS's status checks in one line, and the end of its console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct
from msgspec.structs import replace

from pio_tf.aws.errors import aws_errors, explain
from pio_tf.machines.console import read_console

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceStatusTypeDef

    from pio_tf.model import Machine

CONSOLE_LINES: Final = 12
"""Lines that an error shows of the end of a console."""
CONSOLES: Final = 3
"""Machines whose consoles an error shows: if fifty do not answer, three explain it."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\t\x20-\x7e\u00a0-\uffff]")


class Health(Struct, frozen=True):
    """The health of one machine, as AWS sees it."""

    machine: Machine
    state: str
    system: str
    """State of AWS's host and network: ok, impaired, initializing, insufficient-data, not-applicable."""
    instance: str
    """State of the operating system's network, in the same words."""
    console: tuple[str, ...] = ()
    """The end of its console, for machines that do not answer or are not well."""

    @property
    def is_well(self) -> bool:
        """Tell whether AWS finds nothing wrong."""
        return (self.state, self.system, self.instance) == ("running", "ok", "ok")

    @property
    def diagnosis(self) -> str:
        """Return the diagnosis in one line."""
        named = f"{self.machine.name} ({self.machine.instance_id})"
        if self.state != "running":
            return f"{named} is {self.state}: it was stopped after its start, by AWS, a user or a tool"
        if self.system == "impaired":
            return f"{named}: AWS's host below it is impaired; `pio-tf down`, then `pio-tf up` moves it to another one"
        if self.instance == "impaired":
            return f"{named}: its operating system does not answer (AWS's instance status check is impaired)"
        if "initializing" in (self.system, self.instance):
            return f"{named}: AWS's status checks have not finished: it is still booting"
        if self.is_well:
            return f"{named} runs and passes AWS's status checks: check its logs and the network path to it"
        return f"{named}: AWS does not know its status ({self.system}, {self.instance})"


def examine(ec2: EC2Client, machines: Sequence[Machine], *, suspects: Collection[str]) -> tuple[Health, ...]:
    """Return the health of machines from their status checks, with consoles of those that do not answer.

    Args:
        suspects: names of machines that do not answer as they should.

    Raises:
        AwsError: AWS does not answer (permissions ``ec2:DescribeInstanceStatus``, ``ec2:GetConsoleOutput``).
    """
    with aws_errors("looking at the machines' status checks"):
        pages = ec2.get_paginator("describe_instance_status").paginate(
            # Without IncludeAllInstances, AWS omits machines that do not run, and all others would be well.
            InstanceIds=[machine.instance_id for machine in machines],
            IncludeAllInstances=True,
        )
        found = {status["InstanceId"]: status for page in pages for status in page["InstanceStatuses"]}
    checked = [_health(machine, found.get(machine.instance_id)) for machine in machines]
    shown = [one.machine for one in checked if one.machine.name in suspects or not one.is_well][:CONSOLES]
    return tuple(
        replace(one, console=_console_end(ec2, one.machine.instance_id)) if one.machine in shown else one
        for one in checked
    )


def _health(machine: Machine, status: InstanceStatusTypeDef | None) -> Health:
    if status is None:
        return Health(machine, "unknown to AWS's status checks", "", "")
    system, instance = status["SystemStatus"]["Status"], status["InstanceStatus"]["Status"]
    return Health(machine, status["InstanceState"]["Name"], system, instance)


def _console_end(ec2: EC2Client, instance_id: str) -> tuple[str, ...]:
    try:
        text = read_console(ec2, instance_id)
    except (ClientError, BotoCoreError) as error:
        return (f"(could not read its console: {explain(error).what})",)
    lines = [line.rstrip() for raw in text.splitlines() if (line := _CONTROL.sub("", raw)).strip()]
    return tuple(lines[-CONSOLE_LINES:]) or ("(its console is empty so far)",)
