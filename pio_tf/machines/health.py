"""Why a machine is not ready: AWS's status checks of it, in one line, and the end of its console."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from pio_tf.aws.errors import explain
from pio_tf.aws.session import aws_errors
from pio_tf.machines.console import read_console

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.model import Machine

CONSOLE_LINES: Final = 12
"""Lines of a console's end that an error shows."""
CONSOLES: Final = 3
"""Machines whose consoles it shows: where fifty do not answer, three tell why."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\t\x20-\x7e\u00a0-\uffff]")
_UNKNOWN: Final = "AWS has no word on its status"


@dataclass(frozen=True)
class Health:
    """One machine, as AWS sees it."""

    machine: Machine
    state: str
    system: str
    """AWS's host and network below the machine: ok, impaired, initializing, insufficient-data, not-applicable."""
    instance: str
    """Whether the machine's operating system answers its network: the same words."""
    console: tuple[str, ...] = ()
    """The end of its console, where it was asked for."""

    @property
    def is_well(self) -> bool:
        """Whether AWS finds nothing wrong."""
        return (self.state, self.system, self.instance) == ("running", "ok", "ok")

    @property
    def diagnosis(self) -> str:
        """In one line."""
        named = f"{self.machine.name} ({self.machine.instance_id})"
        if self.state != "running":
            return f"{named} is {self.state}: somebody, or AWS, has stopped it since it was started"
        if self.system == "impaired":
            return f"{named}: AWS's host below it is impaired; `pio-tf down`, then `pio-tf up` moves it to another one"
        if self.instance == "impaired":
            return f"{named}: its operating system does not answer (AWS's instance status check is impaired)"
        if "initializing" in (self.system, self.instance):
            return f"{named}: AWS's status checks have not ended: it is booting still"
        if self.is_well:
            return f"{named} runs and passes AWS's status checks: look at it from inside, and at the way to it"
        return f"{named}: {_UNKNOWN} ({self.system}, {self.instance})"


def examine(ec2: EC2Client, machines: Sequence[Machine], *, suspects: Collection[str]) -> tuple[Health, ...]:
    """Look at machines from outside: their status checks, and the consoles of those that do not answer.

    Args:
        suspects: names of machines that do not answer, or not as they should.

    Raises:
        AwsError: AWS does not say (permissions ``ec2:DescribeInstanceStatus``, ``ec2:GetConsoleOutput``).
    """
    with aws_errors("looking at the machines' status checks"):
        pages = ec2.get_paginator("describe_instance_status").paginate(
            # Without IncludeAllInstances, AWS leaves out what does not run, and all of the rest would be well.
            InstanceIds=[machine.instance_id for machine in machines],
            IncludeAllInstances=True,
        )
        found = {status["InstanceId"]: status for page in pages for status in page["InstanceStatuses"]}
    looked: list[Health] = []
    for machine in machines:
        status = found.get(machine.instance_id)
        if status is None:
            looked.append(Health(machine, "unknown to AWS's status checks", "", ""))
            continue
        system, instance = status["SystemStatus"]["Status"], status["InstanceStatus"]["Status"]
        looked.append(Health(machine, status["InstanceState"]["Name"], system, instance))
    shown = [one.machine.name for one in looked if one.machine.name in suspects or not one.is_well][:CONSOLES]
    return tuple(
        Health(one.machine, one.state, one.system, one.instance, _console_end(ec2, one.machine.instance_id))
        if one.machine.name in shown
        else one
        for one in looked
    )


def _console_end(ec2: EC2Client, instance_id: str) -> tuple[str, ...]:
    try:
        text = read_console(ec2, instance_id)
    except (ClientError, BotoCoreError) as error:
        return (f"(its console cannot be read: {explain(error).what})",)
    lines = [line.rstrip() for raw in text.splitlines() if (line := _CONTROL.sub("", raw)).strip()]
    return tuple(lines[-CONSOLE_LINES:]) or ("(its console is empty so far)",)
