"""Machines that exist already become a cluster: they are looked at, and a pio-tf.hcl is written for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pio_tf.aws.errors import aws_errors
from pio_tf.aws.identity import who_am_i
from pio_tf.aws.session import Aws
from pio_tf.config.adopted import AdoptedCluster, render_adopted
from pio_tf.config.blocks import MINIMUM_DRIVER_MEMORY_MIB
from pio_tf.config.load import parse_config
from pio_tf.config.template import write_new
from pio_tf.events import Step
from pio_tf.machines.deadline_role import DeadlineRole
from pio_tf.machines.existing import Choice, choose_by_tag, find_existing, find_remarks, list_instances
from pio_tf.machines.instance_types import find_instance_types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.machines.existing import ExistingMachine

_NOT_CHOSEN_YET = {"driver": "i-0", "master": "i-1", "worker-1": "i-2"}


@dataclass(frozen=True)
class Proposal:
    """What an adoption would write and make."""

    text: str
    """The contents of the pio-tf.hcl."""
    machines: tuple[ExistingMachine, ...]
    role: DeadlineRole | None
    """The role to create; None: none."""
    remarks: tuple[str, ...]
    """What is worth knowing about the machines."""


@dataclass(frozen=True)
class Adoption:
    """Proposes a cluster out of machines that exist already. Reads only, until :meth:`carry_out`.

    Args:
        cluster: the contents of the file, as far as options and answers give them.
        path: the file.
        report: receives progress as events.
    """

    cluster: AdoptedCluster
    path: Path
    environ: Mapping[str, str]
    report: Reporter

    @cached_property
    def aws(self) -> Aws:
        """AWS, as the file will say.

        Raises:
            ConfigError: an answer is not of its kind.
        """
        return Aws(self._load(render_adopted(replace(self.cluster, ids=_NOT_CHOSEN_YET))))

    def list_instances(self) -> list[str]:
        """Return a line for each instance of the region that may be chosen."""
        return list_instances(self.aws.client("ec2"))

    def propose(self, choice: Choice, *, make_role: bool, tag: str = "") -> Proposal:
        """Return what would be written for the chosen instances.

        Args:
            tag: ``KEY=VALUE`` that instances of the other roles carry.
            make_role: create a role for the deadline, unless the file names one.

        Raises:
            ConfigError: pio-tf can't work with these machines, or the role exists already.
            AwsError: a call failed.
        """
        client = self.aws.client
        ids = (choose_by_tag(client("ec2"), tag, choice) if tag else choice).by_name()
        self.report(Step(f"Looking at {len(ids)} instances in {self.aws.region}"))
        ec2, account = client("ec2"), who_am_i(client).account
        machines = find_existing(ec2, ids, account=account, in_region=self._ec2_in)
        role = DeadlineRole(self.cluster.name, self.aws.region, account, tuple(ids.values())) if make_role else None
        if role is not None:
            role.refuse_existing(client("iam"))
        with aws_errors():
            specs = find_instance_types(ec2, {machines[0].instance_type})
        memory = [spec.memory_mib for spec in specs.values()]
        cluster = replace(
            self.cluster,
            ids=ids,
            labels={one.name: one.label for one in machines},
            role_arn=role.arn if role else self.cluster.role_arn,
            small_driver=any(mib < MINIMUM_DRIVER_MEMORY_MIB for mib in memory),
        )
        text = render_adopted(cluster)
        self._load(text)  # raises before anything is created
        return Proposal(text, machines, role, find_remarks(ec2, machines))

    def carry_out(self, proposal: Proposal) -> None:
        """Create the role, and write the file.

        Raises:
            AwsError: the role could not be created; nothing was written.
            ConfigError: the file exists already, or can't be written.
        """
        if proposal.role is not None:
            self.report(Step(f"Creating the IAM role {proposal.role.name}"))
            proposal.role.create(self.aws.client("iam"))
        write_new(self.path.parent, proposal.text)

    def _load(self, text: str) -> Config:
        return parse_config(text, path=self.path.absolute(), environ=self.environ)

    def _ec2_in(self, region: str) -> Any:  # noqa: ANN401 - botocore makes its methods
        """Return an EC2 client of another region."""
        text = render_adopted(replace(self.cluster, ids=_NOT_CHOSEN_YET, aws={**self.cluster.aws, "region": region}))
        return Aws(self._load(text)).client("ec2")
