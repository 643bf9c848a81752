"""The JSON of machines, their power and their deadline: ``up``, ``down``, ``extend``, ``status``."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pio_tf.cli.schemas.common import Version


class MachineData(TypedDict):
    """A machine as EC2 has it."""

    name: Annotated[str, "`driver`, `master`, `worker-1`, …"]
    role: Literal["driver", "master", "worker"]
    instance_id: str
    instance_type: str
    state: Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]
    private_ip: str
    public_ip: Annotated[str | None, "null: it has none now"]
    since: Annotated[str | None, "ISO 8601: when it was last started, or stopped"]
    spot: Annotated[bool, "true: a Spot instance, which pio-tf did not make and does not start"]
    in_outputs: Annotated[bool, "false: it has the cluster's tags, but Terraform does not know it"]


Machines = Annotated[list[MachineData], "driver, master and workers"]


class MachinesResult(TypedDict):
    """The machines, once they are started or stopped."""

    version: Version
    machines: Machines
    deadline: Annotated[str | None, "ISO 8601: when AWS stops them; null: no deadline was set"]


class ExtendResult(TypedDict):
    """The deadline of machines that run."""

    version: Version
    before: Annotated[str | None, "ISO 8601: what it was; null: there was none"]
    deadline: Annotated[str, "ISO 8601: what it is"]


class StatusMachineData(MachineData):
    """A machine, and whether Spark has it."""

    spark_alive: Annotated[bool | None, "whether Spark's master has this worker; null: not a worker, or not asked"]


class StatusResult(TypedDict):
    """The cluster now."""

    version: Version
    cluster: str
    created: Annotated[bool, "whether Terraform has outputs"]
    machines: list[StatusMachineData]
    run: Annotated[str | None, "the run that is active"]
    deadline: Annotated[str | None, "ISO 8601: when AWS stops the machines; null: none, or nothing runs"]
