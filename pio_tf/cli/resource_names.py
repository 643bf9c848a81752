"""Terraform's resources as progress names them: ``worker-1``, ``driver's EIP``, ``security group rule ssh``."""

from __future__ import annotations

import re

_STEP = re.compile(r'([\w-]+)(?:\["((?:[^"\\]|\\.)*)"\]|\[\d+\])?(?:\.|$)')
_KINDS = {"aws_cloudwatch_metric_alarm": "alarm"}
_ABBREVIATIONS = {"ebs", "eip", "iam", "sns", "sqs", "vpc"}
_MACHINES = ("driver", "master", "worker")


def resource_name(address: str) -> str:
    """Return the name of a resource in progress; its address if that is not one of a managed resource.

    ``module.spark_cluster.module.worker["worker-1"].aws_instance.this`` is the machine ``worker-1``.
    """
    steps = [(match[1], match[2] or "") for match in _STEP.finditer(address)]
    machine = ""
    while len(steps) > 2 and steps[0][0] == "module":
        module, key = steps[1]
        if module in _MACHINES:
            machine = key or module
        del steps[:2]
    if len(steps) != 2 or not steps[0][0].startswith("aws_"):
        return address
    (kind, _), (name, key) = steps
    if machine and kind == "aws_instance":
        return machine
    kind = _KINDS.get(kind, kind).removeprefix("aws_")
    words = [word.upper() if word in _ABBREVIATIONS else word for word in kind.split("_")]
    words += [part for part in (name if name != "this" else "", key) if part]
    return (f"{machine}'s " if machine else "") + " ".join(words)
