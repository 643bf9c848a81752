"""The rules, as data. What breaks each of them is found in the other files of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pio_tf.config.blocks import WAIVABLE

_ONLY_DESTROY = "put the old values back into pio-tf.hcl; only `pio-tf destroy` removes anything, and it removes all"


@dataclass(frozen=True)
class Rule:
    """What no plan may do, or lead to."""

    id: str
    """``PTF006``: it never changes its meaning."""
    name: str
    """The id in words: ``open-ssh``."""
    title: str
    severity: Literal["critical", "high", "medium"]
    why: str
    what_to_do: str

    @property
    def waivable(self) -> bool:
        """Whether pio-tf.hcl can waive it."""
        return self.id in WAIVABLE


RULES = (
    Rule(
        "PTF001",
        "machine-removed",
        "No machine is deleted or replaced",
        "critical",
        "a machine's disk, private address and installed software go with it",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF002",
        "volume-removed",
        "No volume is deleted, replaced or detached",
        "critical",
        "what is on a deleted disk is lost",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF003",
        "address-removed",
        "No Elastic IP is released or replaced",
        "critical",
        "AWS gives a released address to somebody else",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF004",
        "network-removed",
        "No network that holds addresses is deleted or replaced",
        "critical",
        "the machines' private addresses, which other hosts may know, go with it",
        _ONLY_DESTROY,
    ),
    Rule(
        "PTF005",
        "bucket-removed",
        "No bucket is deleted or replaced, nor its versions",
        "critical",
        "a bucket may hold Terraform's state, without which nobody knows what there is",
        "leave the bucket as it is; `pio-tf init --backend` makes it outside the stack",
    ),
    Rule(
        "PTF006",
        "open-ssh",
        "SSH is not open to the world",
        "high",
        "every address on the internet is tried for weak keys and old servers within hours",
        "name your own addresses in network.ssh_cidrs, or come through a bastion (ssh.bastion); close in AWS what was "
        "opened by hand",
    ),
    Rule(
        "PTF007",
        "open-port",
        "No other port is open to the world",
        "critical",
        "Spark runs whatever anybody sends to it, and its pages have no password",
        "leave the security groups as pio-tf writes them (`pio-tf ui` shows Spark's pages); close in AWS what was "
        "opened by hand",
    ),
    Rule(
        "PTF008",
        "unencrypted-disk",
        "Every disk is encrypted",
        "high",
        "disks hold events, models and passwords, and outlive every training",
        "leave the disks as pio-tf writes them; a disk is encrypted when it is made, and not later",
    ),
    Rule(
        "PTF009",
        "public-address",
        "No machine has a public address that pio-tf.hcl does not ask for",
        "high",
        "a public address can be reached, and is charged for by the hour",
        "ask for it with network.public_ips or network.driver_eip, or choose a subnet that gives none",
    ),
    Rule(
        "PTF010",
        "too-many-workers",
        "There are no more workers than guard.max_workers",
        "medium",
        "a mistyped number is an expensive one",
        "lower spark.workers, or raise guard.max_workers",
    ),
    Rule(
        "PTF011",
        "instance-type",
        "Every machine's type is one of guard.instance_types",
        "medium",
        "prices of instance types differ a hundredfold",
        "choose one of guard.instance_types, or add this one there",
    ),
    Rule(
        "PTF012",
        "monthly-cost",
        "The cluster costs no more in a month than guard.max_monthly_cost_usd",
        "medium",
        "the bill comes a month later",
        "choose fewer or smaller machines, or raise guard.max_monthly_cost_usd; a price that pio-tf does not know goes "
        "into guard.hourly_prices",
    ),
)
"""All of them, in the order of their ids."""

RULE = {rule.id: rule for rule in RULES}
"""By id."""
