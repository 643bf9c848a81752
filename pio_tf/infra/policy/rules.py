"""The rules of the guard, as data, and what :mod:`pio_tf.infra.policy.checks` finds to break one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from pio_tf.config.blocks import WAIVABLE

if TYPE_CHECKING:
    from pio_tf.infra.guard import Removal

_ONLY_DESTROY = "put the old values back into pio-tf.hcl; only `pio-tf destroy` removes anything, and it removes all"


class Rule(Struct, frozen=True):
    """A rule: what no plan may do or lead to."""

    id: str
    """``PTF006``; its meaning never changes."""
    name: str
    """The id in words: ``open-ssh``."""
    title: str
    severity: Literal["critical", "high", "medium"]
    why: str
    what_to_do: str

    @property
    def waivable(self) -> bool:
        """Tell whether pio-tf.hcl can waive the rule."""
        return self.id in WAIVABLE


@dataclass(frozen=True)
class Finding:
    """One thing in a plan that breaks a rule."""

    rule: Rule
    address: str
    """Terraform's address of the resource; empty where the rule is not about one."""
    message: str
    file: str
    """pio-tf.hcl, relative to the working directory where it is below that."""
    line: int | None
    """The line of that file that is closest to the cause, from 1; None where the file says nothing about it."""
    waived: str
    """The reason of the waiver; empty: not waived."""
    removal: Removal | None = field(default=None, repr=False)
    """The removal, for the rules against removals."""

    @property
    def place(self) -> str:
        """Return ``pio-tf.hcl:12``."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def data(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return {
            "rule": self.rule.id,
            "name": self.rule.name,
            "severity": self.rule.severity,
            "address": self.address,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "waived": self.waived or None,
        }


RULES = (
    Rule(
        "PTF001",
        "machine-removed",
        "No machine is deleted or replaced",
        "critical",
        "a machine's disk, private address and installed software are lost with it",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF002",
        "volume-removed",
        "No volume is deleted, replaced or detached",
        "critical",
        "the data on a deleted disk is lost",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF003",
        "address-removed",
        "No Elastic IP is released or replaced",
        "critical",
        "AWS gives a released address to another customer",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF004",
        "network-removed",
        "No network that holds addresses is deleted or replaced",
        "critical",
        "the machines' private addresses, which other hosts may know, are lost with it",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF005",
        "bucket-removed",
        "No bucket is deleted or replaced, nor its versions",
        "critical",
        "a bucket may hold Terraform's state: without it, Terraform knows none of the resources",
        "leave the bucket as it is; `pio-tf init --backend` makes it outside the stack",
    ),
    Rule(
        "PTF006",
        "open-ssh",
        "SSH is not open to the world",
        "high",
        "attackers try every address on the internet for weak keys and old servers within hours",
        "list your own addresses in network.ssh_cidrs, or connect through a bastion (ssh.bastion); remove rules that "
        "were added in AWS",
    ),
    Rule(
        "PTF007",
        "open-port",
        "No other port is open to the world",
        "critical",
        "Spark runs any code that it receives, and its pages have no password",
        "leave the security groups as pio-tf writes them (`pio-tf ui` shows Spark's pages); remove rules that were "
        "added in AWS",
    ),
    Rule(
        "PTF008",
        "unencrypted-disk",
        "Every disk is encrypted",
        "high",
        "disks hold events, models and passwords, and outlive every training",
        "leave the disks as pio-tf writes them; a disk can be encrypted only when it is created",
    ),
    Rule(
        "PTF009",
        "public-address",
        "No machine has a public address that pio-tf.hcl does not ask for",
        "high",
        "hosts on the internet can reach a public address, and AWS bills it by the hour",
        "ask for it with network.public_ips or network.driver_eip, or choose a subnet that assigns none",
    ),
    Rule(
        "PTF010",
        "too-many-workers",
        "There are no more workers than guard.max_workers",
        "medium",
        "a typing error in the number of workers is expensive",
        "lower spark.workers, or raise guard.max_workers",
    ),
    Rule(
        "PTF011",
        "instance-type",
        "Every machine's type is one of guard.instance_types",
        "medium",
        "prices of instance types differ by a factor of a hundred",
        "choose one of guard.instance_types, or add this type to it",
    ),
    Rule(
        "PTF012",
        "monthly-cost",
        "The cluster costs no more in a month than guard.max_monthly_cost_usd",
        "medium",
        "the bill arrives a month later",
        "choose fewer or smaller machines, or raise guard.max_monthly_cost_usd; put a price that pio-tf does not know "
        "into guard.hourly_prices",
    ),
    Rule(
        "PTF013",
        "impossible-change",
        "AWS can make every change",
        "high",
        "AWS would refuse the change in the middle of an apply; disks can grow, but not shrink",
        "set root_volume_gib, or the scratch_volume's gib, to the size that the disk has, or more; for smaller disks, "
        "`pio-tf destroy`, then `pio-tf up`",
    ),
)
"""All rules, in the order of their ids."""

RULE = {rule.id: rule for rule in RULES}
