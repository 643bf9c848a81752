"""Machines that exist already become a cluster: they are looked at, and a pio-tf.hcl is written for them."""

from __future__ import annotations

import asyncio
import tempfile
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.aws.errors import aws_errors
from pio_tf.aws.identity import who_am_i
from pio_tf.aws.session import Aws
from pio_tf.cluster.messages import short
from pio_tf.config.adopted import AdoptedCluster, render_adopted
from pio_tf.config.blocks import MINIMUM_DRIVER_MEMORY_MIB, PioBlock
from pio_tf.config.load import parse_config
from pio_tf.config.template import write_new
from pio_tf.errors import ConfigError, PioTfError
from pio_tf.events import Step
from pio_tf.machines.deadline_role import DeadlineRole
from pio_tf.machines.existing import (
    Choice,
    choose_by_tag,
    find_existing,
    find_remarks,
    list_instances,
    refuse_taken_name,
)
from pio_tf.machines.instance_types import find_instance_types
from pio_tf.machines.inventory import find_named_machines
from pio_tf.training.survey import InstalledSoftware, survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.config.hcl_writer import Value
    from pio_tf.config.schema import Config
    from pio_tf.errors import RemoteError
    from pio_tf.events import Reporter
    from pio_tf.infra.plan import Plan
    from pio_tf.machines.existing import ExistingMachine
    from pio_tf.model import Machine

_PATIENCE = 15.0
"""Seconds that a machine has to let pio-tf log in: it runs already."""
_NOT_CHOSEN_YET = {"driver": "i-0", "master": "i-1", "worker-1": "i-2"}


class Look(Struct, frozen=True):
    """The machines of an adoption as they are. Nothing has changed."""

    machines: tuple[ExistingMachine, ...]
    software: Mapping[str, InstalledSoftware]
    """What the machines have that could be looked at, by name."""
    remarks: tuple[str, ...]
    """What is worth knowing about the machines."""
    account: str

    @property
    def engines(self) -> tuple[str, ...]:
        """The directories on the driver that may be the engine's."""
        return self.software["driver"].engines if "driver" in self.software else ()


class Proposal(Struct, frozen=True):
    """What an adoption would write and make."""

    text: str
    """The contents of the pio-tf.hcl."""
    look: Look
    role: DeadlineRole | None
    """The role to create; None: none."""
    plan: Plan | None = None
    """What `pio-tf apply` would do then; None: there is no Terraform."""


class Homes(Struct, frozen=True):
    """Where things are on the machines, as far as the user has said. Empty: where they are found."""

    engine_dir: str = ""
    pio_home: str = ""
    spark_home: str = ""
    start_command: str = ""


class Adoption(Struct, frozen=True, dict=True):
    """Proposes a cluster out of machines that exist already. Reads only, until :meth:`carry_out`.

    Args:
        cluster: the contents of the file, as far as options and answers give them.
        homes: where things are on the machines.
        path: the file.
        report: receives progress as events.
        attended: whether a person at a terminal reads the warnings: see ``ssh.host_keys``.
    """

    cluster: AdoptedCluster
    homes: Homes
    path: Path
    environ: Mapping[str, str]
    report: Reporter
    attended: bool = False

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

    def look(self, choice: Choice, *, tag: str = "") -> Look:
        """Look at the chosen instances, and over SSH at what is installed on those that run.

        Args:
            tag: ``KEY=VALUE`` that instances of the other roles carry.

        Raises:
            ConfigError: pio-tf can't work with these machines.
            AwsError: a call failed.
        """
        client = self.aws.client
        ec2 = client("ec2")
        ids = (choose_by_tag(ec2, tag, choice) if tag else choice).by_name()
        self.report(Step(f"Looking at {len(ids)} instances in {self.aws.region}"))
        account = who_am_i(client).account
        refuse_taken_name(ec2, self.cluster.name)
        machines = find_existing(ec2, ids, account=account, in_region=self._ec2_in)
        found, problems = self._survey(ec2, ids)
        remarks = (*find_remarks(ec2, machines), *problems, *describe_software(found))
        return Look(machines, found, remarks, account)

    def propose(self, look: Look) -> Proposal:
        """Return what would be written and created for the machines.

        Raises:
            ConfigError: the engine's directory is not known, or the role exists already.
            AwsError: a call failed.
            GuardRefused: Terraform would replace or remove a machine.
            TerraformError: Terraform could not plan.
        """
        client, ids = self.aws.client, {one.name: one.instance_id for one in look.machines}
        role: DeadlineRole | None = None
        if self.cluster.terraform is None and self.cluster.role and not self.cluster.role_arn:
            role = DeadlineRole(self.cluster.name, self.aws.region, look.account, tuple(ids.values()))
            role.refuse_existing(client("iam"))
        with aws_errors():
            specs = find_instance_types(client("ec2"), {look.machines[0].instance_type})
        cluster = replace(
            self._with_homes(look),
            ids=ids,
            about={one.name: one.describe() for one in look.machines},
            role_arn=role.arn if role else self.cluster.role_arn,
            small_driver=any(spec.memory_mib < MINIMUM_DRIVER_MEMORY_MIB for spec in specs.values()),
        )
        self._load(render_adopted(cluster))  # raises before anything is created
        driver = look.software.get("driver")
        cluster, refused = self._with_blocks(cluster, driver.env.blocks if driver and driver.env else {})
        look = replace(look, remarks=(*look.remarks, *refused))
        text = render_adopted(cluster)
        return Proposal(text, look, role, None if cluster.terraform is None else self._plan(text))

    def carry_out(self, proposal: Proposal) -> None:
        """Create the role, and write the file.

        Raises:
            AwsError: the role could not be created; nothing was written.
            ConfigError: the file exists already, or can't be written; the role is removed again.
        """
        role = proposal.role
        if role is not None:
            self.report(Step(f"Creating the IAM role {role.name}"))
            role.create(self.aws.client("iam"))
        try:
            write_new(self.path.parent, proposal.text)
        except BaseException:
            if role is not None:
                role.remove(self.aws.client("iam"))
            raise

    def _plan(self, text: str) -> Plan:
        """Return what Terraform would do with a pio-tf.hcl that is not written yet. Leave nothing behind."""
        from pio_tf.infra.deployment import Deployment

        with tempfile.TemporaryDirectory() as scratch:
            config = self._load(text).in_directory(Path(scratch))
            self.report(Step("Planning", "seconds; minutes to download the AWS provider"))
            plan = Deployment(config, reporter=self.report, environ=self.environ).plan()
            plan.path.unlink()  # it is not to be applied
            return plan

    def _with_homes(self, look: Look) -> AdoptedCluster:
        """Return the contents of the file with where things are: as the user says, else as they were found."""
        homes, nothing = self.homes, InstalledSoftware()
        driver, master = look.software.get("driver", nothing), look.software.get("master", nothing)
        engine = homes.engine_dir or (driver.engines[0] if len(driver.engines) == 1 else "")
        if not engine:
            several = f": {', '.join(driver.engines)}" if driver.engines else ""
            raise ConfigError(
                f"the engine's directory on the driver is not known{several}",
                cause="no directory with an engine.json was found" if not several else "",
                next_step="give --engine-dir PATH",
            )
        version, of_pio = driver.pio_version, driver.env.values.get("SPARK_HOME", "") if driver.env else ""
        return replace(
            self.cluster,
            engine_dir=engine,
            pio_home=homes.pio_home or driver.pio_home or self.cluster.pio_home,
            pio_version=version if version in get_args(PioBlock.model_fields["version"].annotation) else "",
            spark_home=homes.spark_home or of_pio or driver.spark_home or self.cluster.spark_home,
            start_command=homes.start_command or ("" if master.starts_spark else master.start_all),
        )

    def _with_blocks(
        self, cluster: AdoptedCluster, blocks: Mapping[str, Mapping[str, Value]]
    ) -> tuple[AdoptedCluster, list[str]]:
        """Return the file with those blocks of pio-env.sh that pio-tf can use, and why not the others."""
        refused = []
        for name, block in blocks.items():
            more = replace(cluster, blocks={**cluster.blocks, name: block})
            try:
                self._load(render_adopted(more))
            except ConfigError as error:
                refused.append(f"pio-tf.hcl gets no {name} block from pio-env.sh: {error.what.partition(': ')[2]}")
            else:
                cluster = more
        return cluster, refused

    def _survey(self, ec2: EC2Client, ids: Mapping[str, str]) -> tuple[dict[str, InstalledSoftware], list[str]]:
        """Return what the machines have that run and answer, and remarks about the others."""
        on = [one for one in find_named_machines(ec2, ids, cluster=self.cluster.name) if one.state == "running"]
        if not any(one.role == "driver" for one in on):
            return {}, ["the driver does not run: pio-tf has not looked at what is installed"]
        try:
            found = asyncio.run(self._ask(ec2, on))
        except PioTfError as error:
            return {}, [f"pio-tf could not look at what is installed: {short(error)}"]
        software = {name: one for name, one in found.items() if isinstance(one, InstalledSoftware)}
        failures = {name: one for name, one in found.items() if not isinstance(one, InstalledSoftware)}
        return software, [f"pio-tf could not look at {name}: {short(error)}" for name, error in failures.items()]

    async def _ask(self, ec2: EC2Client, machines: Sequence[Machine]) -> dict[str, InstalledSoftware | RemoteError]:
        from pio_tf.machines.console import host_keys_from_console
        from pio_tf.remote.connect import RetryPolicy
        from pio_tf.remote.ssh import ClusterConnection
        from pio_tf.remote.target import ssh_targets

        with tempfile.TemporaryDirectory() as pins:  # nothing is written beside the file before the user agrees
            config = self._load(render_adopted(replace(self.cluster, ids=_NOT_CHOSEN_YET))).in_directory(Path(pins))
            connection = ClusterConnection(
                config,
                ssh_targets(config, machines),
                reporter=self.report,
                retry=RetryPolicy(timeout=_PATIENCE, denied=0.0, attempt=_PATIENCE),
                console_keys=partial(host_keys_from_console, ec2),
                attended=self.attended,
            )
            async with connection as remote:
                names = [one.name for one in machines]
                return await survey(remote, names, spark_home=self.homes.spark_home, pio_home=self.homes.pio_home)

    def _load(self, text: str) -> Config:
        return parse_config(text, path=self.path.absolute(), environ=self.environ)

    def _ec2_in(self, region: str) -> Any:  # noqa: ANN401 - botocore makes its methods
        """Return an EC2 client of another region."""
        text = render_adopted(replace(self.cluster, ids=_NOT_CHOSEN_YET, aws={**self.cluster.aws, "region": region}))
        return Aws(self._load(text)).client("ec2")


def describe_software(found: Mapping[str, InstalledSoftware]) -> list[str]:
    """Return what is installed where, and what of it pio-tf can't say in pio-tf.hcl."""
    lines = []
    for name, one in found.items():
        parts = [
            f"Spark {one.spark_version} in {one.spark_home}" if one.spark_home else "no Spark",
            f"Java {one.java_version} in {one.java_home}" if one.java_home else "no Java",
        ]
        if name == "driver":
            pio = f"PredictionIO {one.pio_version or '(version unknown)'} in {one.pio_home}"
            parts.append(pio if one.pio_home else "no PredictionIO")
        parts += [f"Spark is started by {source}" for source in one.starts_spark]
        lines.append(f"{name} has {'; '.join(parts)}")
    versions = {one.spark_version for one in found.values() if one.spark_version}
    if len(versions) > 1:
        lines.append(f"the machines have different versions of Spark: {', '.join(sorted(versions))}")
    env = found["driver"].env if "driver" in found else None
    if env is not None and (env.kept or env.unread):
        others = ", ".join((*env.kept, *(f"line {number}" for number in env.unread)))
        lines.append(f"pio-env.sh stays as it is, also what pio-tf.hcl does not say: {others}")
    return lines
