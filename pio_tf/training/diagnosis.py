"""What is added to the error of a cluster that does not become ready: how each machine looks from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import PioTfError
from pio_tf.machines.health import examine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.model import Machine


def diagnose(error: PioTfError, ec2: EC2Client, machines: Sequence[Machine]) -> None:
    """Add to an error a line for each machine that it is about, or that AWS finds something wrong with, and the end of
    its console. Where AWS does not say, the error stays as it is, but for that.

    Args:
        error: of :func:`~pio_tf.training.readiness.ready_cluster`; its details name ``machine``, or those ``missing``.
    """
    suspects = _suspects(error)
    try:
        looked = examine(ec2, machines, suspects=suspects)
    except PioTfError as unknown:
        error.details["diagnosis"] = []
        error.cause = "\n       ".join(
            filter(None, [error.cause, f"AWS was asked for the machines' status: {unknown.what}"])
        )
        return
    told = [one for one in looked if one.machine.name in suspects or not one.is_well]
    lines = [error.cause] if error.cause else []
    for one in told:
        lines.append(one.diagnosis)
        if one.console:
            lines.append(f"the end of {one.machine.name}'s console:")
            lines += [f"  {line}" for line in one.console]
    error.cause = "\n       ".join(lines)
    error.details["diagnosis"] = [
        {
            "machine": one.machine.name,
            "id": one.machine.instance_id,
            "state": one.state,
            "system_status": one.system,
            "instance_status": one.instance,
            "diagnosis": one.diagnosis,
            "console": list(one.console),
        }
        for one in told
    ]


def _suspects(error: PioTfError) -> set[str]:
    missing = error.details.get("missing")
    named = {str(error.details["machine"])} if error.details.get("machine") else set()
    return named | ({str(name) for name in missing} if isinstance(missing, list) else set())
