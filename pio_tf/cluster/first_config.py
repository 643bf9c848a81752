"""A proposal for a first pio-tf.hcl, out of what an AWS account has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.config.starter import EXAMPLES, Starter
from pio_tf.infra.cost import AS_OF, HOURLY_USD, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.machines.account import Account, Service, ServiceKind, Subnet, Vpc

TYPES: Final = ("r3.xlarge", "r5.xlarge", "r6i.xlarge", "r7i.xlarge")
"""Instance types to propose, with some 30 GiB of memory: those that the account's region offers."""
_MOST_OTHERS: Final = 2
"""Other choices in a comment: more would make a long line."""
_KINDS: Final[tuple[ServiceKind, ...]] = ("elasticsearch", "hbase", "hdfs")


class FirstConfig(Struct, frozen=True):
    """What an account suggests for a first pio-tf.hcl."""

    account: Account

    def propose(self, starter: Starter, answers: Mapping[str, str | None]) -> Starter:
        """Return the starter with what the account has, and with the user's answers, which decide what goes with them.

        Raises:
            ConfigError: an answer is not of its kind.
        """
        proposed = starter.with_answers(answers)
        vpc = answers.get("vpc") or next((one.id for one in self._vpcs()), EXAMPLES["vpc"])
        subnets = self._subnets(vpc)
        subnet = answers.get("subnet") or next((one.id for one in subnets), EXAMPLES["subnet"])
        found = {"vpc": vpc, "subnet": subnet}
        notes = {"vpc": self._others(vpc, self._vpcs()), "subnet": self._others(subnet, subnets)}
        for kind in _KINDS:
            if services := self._services(kind, vpc):
                found[kind] = ",".join(one.host for one in services) if kind != "hdfs" else services[0].host
                notes[kind] = "; ".join(dict.fromkeys(one.about for one in services))
        zone = next((one.zone for one in self.account.subnets if one.id == subnet), "")
        if any(one.id == subnet and one.is_private for one in self.account.subnets):
            found["access"] = "ssm"  # nothing outside of the VPC reaches an address there
        key_pair = self._key_pair(proposed.key)
        types = tuple(one for one in TYPES if zone in self.account.zones[one]) if zone else ()
        if types:
            prices = ", ".join(f"{one} {HOURLY_USD[one]}" for one in types)
            notes["instance_types"] = f"{zone} has, for USD an hour in {REGION} ({AS_OF}): {prices}"
            proposed = replace(proposed, instance_types=types)
        notes = {name: note for name, note in notes.items() if note and not answers.get(name)}
        proposed = replace(proposed, key_pair=key_pair, notes=notes)
        return proposed.with_answers({**found, **{name: value for name, value in answers.items() if value}})

    def choices(self, name: str, starter: Starter) -> list[str]:
        """Return the lines that show what a question's answer may be."""
        if name == "vpc":
            return [f"  {one.id}  {one.cidr:18}  {self._about(one)}" for one in self._vpcs()]
        if name == "subnet":
            return [f"  {one.id}  {one.cidr:18}  {_about_subnet(one)}" for one in self._subnets(starter.vpc)]
        return []

    def _key_pair(self, private_key: str) -> str:
        """Return the key pair that has the public half of a key file; empty: none has."""
        try:
            text = Path(f"{private_key}.pub").expanduser().read_text(encoding="utf-8")
        except (OSError, RuntimeError, UnicodeDecodeError):
            return ""  # the next plan says what is wrong with it
        wanted = " ".join(text.split()[:2])
        return next((name for name, key in self.account.key_pairs.items() if wanted and key == wanted), "")

    def _vpcs(self) -> list[Vpc]:
        """Return the VPCs, first those with the most kinds of services, then those with a usable subnet."""

        def rank(vpc: Vpc) -> tuple[int, int]:
            kinds = sum(bool(self._services(kind, vpc.id)) for kind in _KINDS)
            return (-kinds, -len(self._subnets(vpc.id)))

        return sorted(self.account.vpcs, key=rank)

    def _subnets(self, vpc: str) -> list[Subnet]:
        """Return a VPC's private subnets with a way out. The zone that offers the most types comes first."""

        def missing(subnet: Subnet) -> int:
            return sum(subnet.zone not in zones for zones in self.account.zones.values())

        return sorted((one for one in self.account.subnets if one.vpc == vpc and one.is_private), key=missing)

    def _services(self, kind: ServiceKind, vpc: str) -> list[Service]:
        """Return the services of a kind that a VPC has; for Elasticsearch also a public domain, if it has none."""
        found = [one for one in self.account.services if one.kind == kind and one.vpc in (vpc, "")]
        return [one for one in found if one.vpc] or found

    def _about(self, vpc: Vpc) -> str:
        has = [kind for kind in _KINDS if any(one.vpc == vpc.id for one in self._services(kind, vpc.id))]
        ways = "" if self._subnets(vpc.id) else "no private subnet with a way out"
        return ", ".join(filter(None, (vpc.name, *has, ways)))

    def _others(self, chosen: str, found: list[Vpc] | list[Subnet]) -> str:
        """Return a comment: the name of what was chosen, and what else there is."""
        name = next((one.name for one in found if one.id == chosen), "")
        others = [f"{one.id} {one.name}".strip() for one in found if one.id != chosen]
        more = [f"{len(others) - _MOST_OTHERS} more"] if len(others) > _MOST_OTHERS else []
        return "; ".join(filter(None, (name, " or ".join(("", *others[:_MOST_OTHERS], *more)).strip())))


def _about_subnet(subnet: Subnet) -> str:
    return ", ".join(filter(None, (subnet.name, subnet.zone, f"out by {subnet.way_out}")))
