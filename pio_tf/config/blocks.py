"""The blocks of pio-tf.hcl.

Those for storage are in :mod:`pio_tf.config.storage`, those for software in :mod:`pio_tf.config.software`. The
descriptions of the fields make docs/configuration.md.

A path on a *machine* is a string: absolute, or starting with ``~/`` for the SSH user's home directory. A path on *this*
computer is a :class:`pathlib.Path`; a relative one starts at the directory of pio-tf.hcl.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pio_tf.config.egress import EVERYWHERE
from pio_tf.config.kinds import (
    MY_IP,
    AccountId,
    AddressService,
    Argument,
    BackendType,
    BackendValue,
    Cidr,
    ClusterName,
    DownloadUrl,
    Duration,
    Egress,
    HdfsPath,
    ImageId,
    InstanceId,
    InstanceType,
    JumpHost,
    Kind,
    KmsKey,
    LocalPath,
    Matching,
    Memory,
    ParameterName,
    Percentage,
    PolicyArn,
    Port,
    ProfileName,
    Program,
    PublishedText,
    Reason,
    Region,
    RemotePath,
    RoleArn,
    S3Url,
    SearchQuery,
    SecurityGroupId,
    SettingName,
    Sha512,
    SshRange,
    SubnetId,
    Text,
    TopicArn,
    Url,
    UserName,
    Version,
    VersionConstraint,
    VpcId,
    Wait,
    Webhook,
    Words,
)
from pio_tf.config.recurring_time import find_zone, parse_recurring_time
from pio_tf.config.volumes import VolumeType, check_volume
from pio_tf.secret_names import is_secret_argument

if TYPE_CHECKING:
    from collections.abc import Mapping

MINIMUM_DRIVER_MEMORY_MIB = 16 * 1024
"""The guide's minimum for a machine that runs the Spark driver of the Universal Recommender."""
LONGEST_RUN = 6 * 86400
"""Seconds. CloudWatch evaluates at most a week, and the master's idle alarm must take longer than any run."""


class Block(BaseModel):
    """A block of pio-tf.hcl. It refuses unknown names, and its values never change.

    The default of a block is its ``model_construct()``, which validates nothing: to validate one by itself, pydantic
    builds the validator of its class a second time, outside that of ``Config``.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,  # most are only built as parts of Config
    )


_OURS = ("Name", "pio-tf:cluster", "pio-tf:machine", "pio-tf:role")
MOST_TAGS = 50 - len(_OURS)
"""Tags of the user; AWS takes 50 of a resource."""


class ClusterBlock(Block):
    """The cluster: its name, tags and time limits."""

    name: ClusterName = Field(
        description="Name of the cluster: at most 40 lower-case letters, digits and hyphens. It is the value of the "
        "tag `pio-tf:cluster` on every resource."
    )
    tags: dict[str, PublishedText] = Field(default={}, description="More tags for every resource.")
    start_timeout: Duration = Field(
        default=900,
        description="How long `up` waits without progress: until EC2 shows machines as running, until they answer over "
        "SSH, and while nothing moves in a first boot or in Spark. Downloads that move are waited for until the "
        "deadline.",
    )
    stop_timeout: Duration = Field(default=900, description="How long `down` waits until every machine has stopped.")
    capacity_wait: Wait = Field(
        default=300,
        description="How long to retry when AWS has no capacity for a machine, in addition to `start_timeout`. "
        "0: do not retry.",
    )
    force_stop_after: Wait = Field(
        default=480,
        description="How long a machine may stay `stopping` before pio-tf forces it to stop, which does not wait for "
        "its operating system. 0: never force.",
    )

    @model_validator(mode="after")
    def _leave_our_tags(self) -> ClusterBlock:
        _check_tags("tags", self.tags)
        return self


def _check_tags(name: str, tags: Mapping[str, str]) -> None:
    """Raise ValueError for tags that AWS refuses, or that are pio-tf's or AWS's own."""
    ours = sorted(key for key in tags if key.startswith(("pio-tf:", "aws:")) or key == "Name")
    if ours:
        raise ValueError(f"{name}: {', '.join(ours)} is reserved; choose another key")
    if len(tags) > MOST_TAGS:
        raise ValueError(f"{name}: must be at most {MOST_TAGS}: AWS takes 50 of a resource, and pio-tf adds 4")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise ValueError(f"{name}: AWS takes keys of 1 to 128 characters and values of up to 256; see {key[:40]!r}")


class IgnoreTags(Block):
    """Tags that others add to the resources: Terraform leaves them alone, so that they are no change in a plan.

    The AWS provider can't do that for the disks of machines. With this block, Terraform sets their tags only when it
    creates a machine, and a change of `cluster.tags` does not reach the disks that exist.
    """

    keys: list[Words] = Field(default=[], description="Keys of such tags.")
    key_prefixes: list[Words] = Field(default=[], description="Beginnings of such keys.")

    @property
    def names_any(self) -> bool:
        """Whether there is a tag to leave alone."""
        return bool(self.keys or self.key_prefixes)

    def ignores(self, key: str) -> bool:
        """Return whether Terraform leaves a tag alone."""
        return key in self.keys or key.startswith(tuple(self.key_prefixes))

    @model_validator(mode="after")
    def _not_ours(self) -> IgnoreTags:
        if hidden := [key for key in _OURS if self.ignores(key)]:
            raise ValueError(f"would hide {', '.join(hidden)}, which pio-tf sets and needs")
        return self


class AssumeRole(Block):
    """The role to assume for every AWS call, including Terraform's."""

    role_arn: RoleArn = Field(description="ARN of the role.")
    session_name: Words = Field(default="pio-tf", description="Session name, as CloudTrail shows it.")
    external_id: Words | None = Field(default=None, description="External id, if the role's trust policy requires one.")


class AwsBlock(Block):
    """The AWS region, and the credentials to use. Credentials come from the usual places, never from this file."""

    region: Region = Field(description="AWS region.")
    profile: Words | None = Field(default=None, description="Profile in the AWS configuration files.")
    credentials_file: LocalPath | None = Field(
        default=None, description="Credentials file to read instead of ~/.aws/credentials."
    )
    assume_role: AssumeRole | None = Field(default=None, description="A role to assume.")
    endpoint_url: Url | None = Field(default=None, description="Address of another AWS API, such as the sandbox.")
    allowed_account_ids: list[AccountId] = Field(
        default=[],
        description="Accounts that the credentials may be of. pio-tf and Terraform refuse others. Empty: any account.",
    )
    default_tags: dict[str, PublishedText] = Field(
        default={},
        description="Tags that the AWS provider adds to every resource that it makes, in addition to `cluster.tags`.",
    )
    ignore_tags: IgnoreTags = Field(
        default_factory=IgnoreTags.model_construct, description="Block: tags that others add, such as tools for costs."
    )

    @model_validator(mode="after")
    def _tags_of_the_provider(self) -> AwsBlock:
        _check_tags("default_tags", self.default_tags)
        return self


class NetworkBlock(Block):
    """An existing subnet, or a new network. Give `vpc_id` and `subnet_id`, or `cidr`."""

    vpc_id: VpcId | None = Field(default=None, description="Existing VPC.")
    subnet_id: SubnetId | None = Field(default=None, description="Existing subnet of that VPC.")
    cidr: Cidr | None = Field(
        default=None, description="Address range of a new VPC with one subnet, /16 to /28 (an AWS limit)."
    )
    availability_zone: Words | None = Field(default=None, description="Availability zone of the new subnet.")
    public_ips: bool = Field(
        default=False,
        description="Give machines in the new subnet a public IPv4 address while they run. Without a NAT gateway, they "
        "need one to reach the internet. The address changes at every start; AWS bills it by the hour.",
    )
    ssh_cidrs: list[SshRange] = Field(
        default=[],
        description='Address ranges that may open SSH connections. `"my-ip"`: [this computer](access.md#my-ip), by its '
        "public address at the time of a plan. Empty: none.",
    )
    my_ip_url: AddressService = Field(
        default="https://checkip.amazonaws.com",
        description='Service that answers with the address for `"my-ip"`. The default is AWS\'s own.',
    )
    ssh_security_group_ids: list[SecurityGroupId] = Field(
        default=[],
        description="Existing security groups, such as that of a bastion or of an EC2 Instance Connect Endpoint. Their "
        "members may open SSH connections.",
    )
    security_group_ids: list[SecurityGroupId] = Field(
        default=[],
        max_length=15,
        description="Existing security groups of the VPC that all machines get, besides their own. AWS takes 5 in all, "
        "and up to 16 if you have its quota raised.",
    )
    egress: list[Egress] = Field(
        default=[EVERYWHERE],
        min_length=1,
        description="Destinations that machines may open connections to, in their own security group. Without ports, "
        "all; with ports, TCP only. See [what machines need](machines.md#connections).",
    )
    first_host: int | None = Field(
        default=None,
        ge=4,
        description="Host number in the subnet of the first machine, for fixed private addresses: the driver, then "
        "master, worker-1 … AWS reserves the first four. Default: 10 in a new network; in an existing subnet, AWS "
        "chooses the addresses.",
    )
    driver_eip: bool = Field(default=False, description="Give the driver an Elastic IP, which it keeps.")

    @property
    def asks_for_my_ip(self) -> bool:
        """Whether this computer's address is needed for a plan."""
        return MY_IP in self.ssh_cidrs

    @model_validator(mode="after")
    def _one_kind_of_network(self) -> NetworkBlock:
        existing = self.vpc_id is not None or self.subnet_id is not None
        if existing and self.cidr is not None:
            raise ValueError("give vpc_id and subnet_id for an existing network, or cidr for a new one, not both")
        if not existing and self.cidr is None:
            raise ValueError("give vpc_id and subnet_id of an existing network, or cidr for a new one")
        if existing and (self.vpc_id is None or self.subnet_id is None):
            raise ValueError("vpc_id and subnet_id go together")
        if existing and (self.public_ips or self.availability_zone):
            raise ValueError("public_ips and availability_zone are for a new network (cidr)")
        if self.security_group_ids and not existing:
            raise ValueError("security_group_ids: groups of another VPC do not fit a new network (cidr)")
        if self.cidr is not None and not 16 <= self.cidr.prefixlen <= 28:
            raise ValueError(f"cidr: {self.cidr} must be between /16 and /28, as AWS allows")
        return self


class AmiFilter(Block):
    """A search for the newest image with an owner and a name."""

    owner: Words = Field(default="099720109477", description="Account id (default: Canonical) or alias of the owner.")
    name: Words = Field(
        default="ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*", description="Name, with * as a wildcard."
    )


class ScratchVolume(Block):
    """An EBS volume for Spark's scratch files, which a machine keeps over stops. See [Disks](machines.md#disks)."""

    gib: int = Field(ge=1, description="Size, GiB.")
    type: VolumeType = Field(default="gp3", description="Volume type.")
    iops: int | None = Field(default=None, description="IOPS; required with io1 and io2. Default: 3000, those of gp3.")
    throughput: int | None = Field(default=None, description="Throughput of a gp3 volume, MiB/s. Default: 125.")

    @model_validator(mode="after")
    def _a_volume_that_aws_makes(self) -> ScratchVolume:
        check_volume(self.type, gib=self.gib, iops=self.iops, throughput=self.throughput)
        return self


class MachineBlock(Block):
    """The options that driver and Spark machines share."""

    instance_types: list[InstanceType] = Field(
        default=["r3.xlarge", "r5.xlarge", "r6i.xlarge"],
        min_length=1,
        description="EC2 instance types, in order of preference: where AWS has no capacity for one, pio-tf takes the "
        "next. See [Instance types](machines.md#instance-types).",
    )
    instance_type: InstanceType | None = Field(
        default=None, description="The only EC2 instance type, instead of `instance_types`."
    )
    root_volume_gib: int = Field(default=50, ge=8, le=16384, description="Size of the encrypted root disk, GiB.")
    root_volume_type: VolumeType = Field(
        default="gp3",
        description="Volume type of the root disk. AWS changes it while the disk is in use, as its IOPS.",
    )
    root_volume_iops: int | None = Field(
        default=None, description="IOPS of the root disk; required with io1 and io2. Default: 3000, those of gp3."
    )
    root_volume_throughput: int | None = Field(
        default=None, description="Throughput of a gp3 root disk, MiB/s. Default: 125."
    )
    ami: ImageId | None = Field(default=None, description="Image id. Only used when a machine is created.")
    ami_parameter: ParameterName | None = Field(
        default=None,
        description="Instead of `ami`: parameter of Systems Manager that holds the image id, the account's own or a "
        "public one. Its value is only used when a machine is created.",
    )
    ami_filter: AmiFilter | None = Field(default=None, description="Instead of `ami`: search for the newest image.")

    scratch_volume: ScratchVolume | None = Field(
        default=None,
        description="Block: a volume for Spark's scratch files. Default: the instance store, else the root disk.",
    )

    @property
    def image_option(self) -> Literal["ami", "ami_parameter", "ami_filter", ""]:
        """The option that names the image; empty: none does."""
        options: tuple[Literal["ami", "ami_parameter", "ami_filter"], ...] = ("ami", "ami_parameter", "ami_filter")
        return next((name for name in options if getattr(self, name) is not None), "")

    @model_validator(mode="after")
    def _one_way_to_an_image(self) -> MachineBlock:
        if sum(one is not None for one in (self.ami, self.ami_parameter, self.ami_filter)) > 1:
            raise ValueError("give only one of ami, ami_parameter and ami_filter")
        return self

    @model_validator(mode="after")
    def _a_root_disk_that_aws_makes(self) -> MachineBlock:
        check_volume(
            self.root_volume_type,
            gib=self.root_volume_gib,
            iops=self.root_volume_iops,
            throughput=self.root_volume_throughput,
            names="root_volume_",
        )
        return self

    @model_validator(mode="after")
    def _one_list_of_types(self) -> MachineBlock:
        if self.instance_type is not None and "instance_types" in self.model_fields_set:
            raise ValueError("give instance_type or instance_types, not both")
        _check_once("instance_types", self.instance_types)
        return self


def _check_once(name: str, types: list[str]) -> None:
    """Raise ValueError for a type that is in a list twice."""
    if twice := sorted(one for one in set(types) if types.count(one) > 1):
        raise ValueError(f"{name}: names {', '.join(twice)} twice")


class DriverBlock(MachineBlock):
    """The machine that runs `pio train`, and no service."""

    memory: Memory | None = Field(
        default=None, description='Heap of the Spark driver, such as "20g". Default: from the instance type.'
    )
    allow_small_memory: bool = Field(default=False, description="Accept a driver with less than 16 GiB of memory.")


class SparkBlock(MachineBlock):
    """The Spark standalone cluster: one master and its workers."""

    workers: int = Field(default=2, ge=1, le=500, description="Number of workers.")
    min_workers: int | None = Field(
        default=None,
        ge=1,
        description="Number of workers that is enough if AWS lacks capacity for all. Default: all; otherwise pio-tf "
        "stops the machines that did start.",
    )
    master_instance_type: InstanceType | None = Field(
        default=None, description="The only instance type of the master, which needs little."
    )
    master_instance_types: list[InstanceType] = Field(
        default=[], description="Instance types of the master. Default: those of the workers."
    )
    home: RemotePath = Field(default="/usr/local/spark", description="SPARK_HOME on every machine.")
    version: Version | None = Field(
        default=None,
        description="Spark version that a new machine installs, unless `home` exists already. Default: "
        "`software.pio.spark_version`; without it, 2.1.3 with Apache's binary of PredictionIO 0.14.0, 2.4.8 with your "
        "own build of 0.14.0, 2.3.4 with 0.13.0, 2.1.1 with 0.12.1.",
    )
    download_url: DownloadUrl | None = Field(
        default=None, description="Spark archive (.tgz) that a new machine downloads. Default: from `software.mirrors`."
    )
    download_sha512: Sha512 | None = Field(
        default=None, description="SHA-512 of the Spark archive. Required with `download_url`."
    )
    start_command: Argument | None = Field(
        default=None,
        description="Command that pio-tf runs on the master, as `ssh.user`, after a start of the machines if Spark "
        "lacks workers: for machines on which no unit starts Spark, such as `/usr/local/spark/sbin/start-all.sh`.",
    )
    master_port: Port = Field(default=7077, description="Port of the master.")
    master_ui_port: Port = Field(default=8080, description="Port of the master's web page and JSON status.")
    executor_memory: Memory | None = Field(
        default=None, description='Heap of an executor, such as "20g". Default: from the instance type.'
    )
    executor_cores: int | None = Field(
        default=None, ge=1, description="Cores of an executor. Default: from the instance type."
    )
    event_log: bool = Field(
        default=False, description="Write Spark's event log of each training to HDFS, for a Spark history server."
    )
    event_log_dir: HdfsPath = Field(
        default="/spark-events",
        description="Directory for event logs, on the name node of the `hdfs` block. It must exist.",
    )
    conf: dict[SettingName, Text] = Field(default={}, description="More settings for spark-defaults.conf.")

    @model_validator(mode="after")
    def _enough_workers(self) -> SparkBlock:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers: must be at most workers ({self.workers}), got {self.min_workers}")
        return self

    @model_validator(mode="after")
    def _one_list_for_the_master(self) -> SparkBlock:
        if self.master_instance_type is not None and self.master_instance_types:
            raise ValueError("give master_instance_type or master_instance_types, not both")
        _check_once("master_instance_types", self.master_instance_types)
        return self

    @model_validator(mode="after")
    def _checksum_of_a_download(self) -> SparkBlock:
        if self.download_url is not None and self.download_sha512 is None:
            raise ValueError(
                "download_sha512: is required with download_url, because machines install nothing unchecked: "
                "run `sha512sum FILE`"
            )
        return self


_NAMED = ("driver", "master", "workers")
"""The options that name instances."""


class MachinesBlock(Block):
    """The options of all machines: driver, master and workers.

    With `driver`, `master` and `workers`, they are [machines that exist already](adopting.md).
    """

    driver: InstanceId | None = Field(
        default=None,
        description="Instance that exists already, as the driver. pio-tf then starts, uses and stops the instances of "
        "this block. See [Machines that exist already](adopting.md).",
    )
    master: InstanceId | None = Field(default=None, description="Instance that exists already, as Spark's master.")
    workers: Annotated[list[InstanceId], Field(max_length=500)] = Field(
        default=[], description="Instances that exist already, as workers: worker-1, worker-2, …"
    )
    terraform: bool = Field(
        default=False,
        description="Let Terraform import the instances of this block: it tags them, and makes the role and the alarms "
        "that stop them. False: there is no Terraform.",
    )
    instance_profile: ProfileName | None = Field(
        default=None, description="Name of an existing instance profile, for the calls that machines make to AWS."
    )
    make_instance_profile: bool = Field(
        default=False,
        description="Let Terraform make an instance profile instead, with [just the permissions that machines "
        "use](machines.md#instance-profile).",
    )
    kms_key_id: KmsKey | None = Field(
        default=None,
        description="KMS key that encrypts [the disks](machines.md#disks) of new machines: ARN, id or alias. Default: "
        "the account's own key for EBS.",
    )
    tag_disks_at_launch: bool = Field(
        default=False,
        description="Tag root disks in the call that creates a machine, for accounts that refuse disks without tags. "
        "Then a change of `cluster.tags` does not reach root disks that exist.",
    )
    termination_protection: bool = Field(
        default=False,
        description="Let AWS refuse to terminate the machines. `pio-tf destroy` then refuses, too, until you have set "
        "this to false and run `pio-tf apply`.",
    )

    @property
    def ids(self) -> dict[str, str]:
        """The instances that exist already, by machine: driver, master, worker-1 …; empty: Terraform makes them."""
        if self.driver is None or self.master is None:
            return {}
        workers = {f"worker-{number}": one for number, one in enumerate(self.workers, 1)}
        return {"driver": self.driver, "master": self.master, **workers}

    @model_validator(mode="after")
    def _all_machines_or_none(self) -> MachinesBlock:
        named = self.model_fields_set & set(_NAMED)
        if not named:
            if self.terraform:
                raise ValueError("terraform: is for instances that exist already: name driver, master and workers, too")
            return self
        if missing := [name for name in _NAMED if not getattr(self, name)]:
            raise ValueError(
                f"{missing[0]}: is required beside {sorted(named)[0]}: a cluster has a driver, a master and workers"
            )
        every = [*self.ids.values()]
        for one in every:
            if every.count(one) > 1:
                raise ValueError(f"names {one} twice: a machine has one role")
        if others := sorted(self.model_fields_set - named - {"terraform"}):
            raise ValueError(f"{others[0]}: is for machines that Terraform makes, not for instances that exist already")
        return self

    @property
    def has_profile(self) -> bool:
        """Whether the machines have an instance profile."""
        return self.make_instance_profile or self.instance_profile is not None

    @model_validator(mode="after")
    def _one_profile(self) -> MachinesBlock:
        if self.instance_profile is not None and self.make_instance_profile:
            raise ValueError("give instance_profile or make_instance_profile, not both")
        return self


class SshBlock(Block):
    """How pio-tf connects to the machines."""

    user: UserName = Field(default="ubuntu", description="User on the machines.")
    key: LocalPath = Field(description="Private key file. AWS installs its public half (the same name with .pub).")
    key_pair: Words | None = Field(
        default=None, description="Name of an existing EC2 key pair. Default: a new one, made from the public key."
    )
    port: Port = Field(default=22, description="SSH port.")
    bastion: JumpHost | None = Field(default=None, description="Jump host, as user@host:port.")
    via: Literal["address", "ssm", "instance-connect"] = Field(
        default="address",
        description="Way to the driver. address: a connection to it, or through the bastion. ssm: AWS Systems Manager. "
        "instance-connect: an EC2 Instance Connect Endpoint. Both need AWS's CLI on this computer, and no open port.",
    )
    address: Literal["auto", "private", "public", "instance-id"] = Field(
        default="auto",
        description="Address of the driver to connect to. auto: its public address if it has one and there is no "
        "bastion, else the private one. instance-id: a host i-…, with a ProxyCommand in your ~/.ssh/config. "
        "pio-tf reaches the other machines through the driver.",
    )
    host_keys: Literal["auto", "verify", "accept-new"] = Field(
        default="auto",
        description="What to do with a host key that is neither pinned nor on the machine's console. verify: refuse "
        "it. accept-new: trust and pin it, with a warning. auto: accept-new at a terminal, verify elsewhere and in CI.",
    )

    @model_validator(mode="after")
    def _one_way_to_the_driver(self) -> SshBlock:
        if self.via != "address" and (self.bastion or self.address != "auto"):
            raise ValueError("give one way to the driver: via, or bastion and address")
        if self.via == "instance-connect" and self.port != 22:
            raise ValueError("via: EC2 Instance Connect Endpoints connect to port 22 only, not to ssh.port")
        return self


class EngineBlock(Block):
    """The engine's sources on this computer. See [engine.md](engine.md)."""

    source: LocalPath | None = Field(
        default=None,
        description="Directory of the engine's sources. `pio-tf train` pushes it to the driver before its checks, and "
        "builds it there if the sources have changed since the last build.",
    )
    max_file: Memory = Field(
        default="100m",
        description="Largest file that is pushed. An error names a larger one, which is most likely data or a build.",
    )


class PioBlock(Block):
    """PredictionIO on the driver."""

    home: RemotePath = Field(default="/usr/local/pio", description="PIO_HOME on the driver.")
    engine_dir: RemotePath = Field(
        description="Engine directory on the driver. It must be the same path as on the prediction server, because "
        "PredictionIO derives the engine's version from the path."
    )
    version: Literal["0.12.1", "0.13.0", "0.14.0"] = Field(default="0.14.0", description="PredictionIO version.")
    fs_basedir: RemotePath = Field(default="~/.pio_store", description="PIO_FS_BASEDIR on the driver.")
    keep_files: bool = Field(
        default=False,
        description="Leave `pio-env.sh`, `spark-defaults.conf` and the other configuration files on the driver as they "
        "are. Then no block for storage is required: pio-tf uses those that there are for its checks only.",
    )
    engine: EngineBlock = Field(default_factory=EngineBlock.model_construct, description="Block: the engine's sources.")


class TrainBlock(Block):
    """Options of `pio-tf train`."""

    pio_arguments: list[Argument] = Field(default=[], description="Arguments of `pio train` before the `--`.")
    spark_arguments: list[Argument] = Field(default=[], description="spark-submit arguments after the `--`.")
    keep_up: bool = Field(default=False, description="Keep the machines running after a training.")
    max_runtime: Annotated[Duration, Field(ge=60, le=LONGEST_RUN)] = Field(
        default=8 * 3600,
        description="How long machines may run after `train` or `up` has started them. Then AWS stops them, even if "
        "the client is gone. At most 144h. To set another time, use `up --for 2h` or `pio-tf extend 2h`.",
    )
    linger: Annotated[Duration, Field(ge=1, le=86400)] = Field(
        default=120,
        description="How long the driver waits after a training, while no client uses it, before it powers itself off. "
        "[The other machines follow it](failsafe.md#the-driver-powers-itself-off).",
    )
    upload: S3Url | None = Field(
        default=None, description="S3 address for a copy of each run's log and record, in addition to this computer."
    )
    on_success: list[Argument] = Field(
        default=[],
        description="Commands that the driver runs after a training that succeeded, one after another until one fails. "
        "The training counts as succeeded even then. See [After a success](training.md#after-a-success).",
    )
    on_success_timeout: Annotated[Duration, Field(le=3600)] = Field(
        default=300, description="How long all these commands may take. Then the driver ends them."
    )


class ModelBlock(Block):
    """Checks of the model of the Universal Recommender, and how many models to keep. See [model.md](model.md)."""

    min_documents: int | None = Field(
        default=None, ge=1, description="Fewest documents of a new model. One with fewer is a failed training."
    )
    max_shrink: Percentage | None = Field(
        default=None,
        description='How much smaller than the model before it a new one may be, such as "30%", counted in documents.',
    )
    sample_query: SearchQuery | None = Field(
        default=None,
        description="Query of Elasticsearch that must find a document in a new model, such as "
        '`{ exists = { field = "purchase" } }`.',
    )
    keep_models: int = Field(
        default=1,
        ge=1,
        le=10,
        description="Number of models that Elasticsearch keeps: the served one and, with 2 or more, copies of earlier "
        "ones. A training makes the copy before it begins, which needs disk space.",
    )

    @property
    def is_used(self) -> bool:
        """Whether pio-tf looks at models, or keeps them."""
        return self.keep_models > 1 or any((self.min_documents, self.max_shrink, self.sample_query))

    @property
    def smallest_share(self) -> float:
        """The fewest documents that a new model may have, as a share of the earlier model's."""
        return 0.0 if self.max_shrink is None else 1 - int(self.max_shrink[:-1]) / 100


def _recurring_time(value: str) -> str:
    return str(parse_recurring_time(value))


def _zone(value: str) -> str:
    return find_zone(value).key


class ScheduleBlock(Block):
    """Trainings on AWS's own clock. See [schedule.md](schedule.md)."""

    cron: Annotated[str, AfterValidator(_recurring_time), Kind("cron expression")] | None = Field(
        default=None,
        description="When trainings begin: a cron expression of EventBridge Scheduler, like `cron(0 3 ? * SUN *)`. "
        "`pio-tf apply` keeps the schedule in step. Default: the time that `schedule set` has named.",
    )
    timezone: Annotated[str, AfterValidator(_zone), Kind("time zone")] = Field(
        default="UTC", description="Time zone of `cron`, like `Europe/Berlin`."
    )
    role_arn: RoleArn | None = Field(
        default=None,
        description="ARN of an existing role with which EventBridge Scheduler starts and stops the machines, if "
        "Terraform may not change IAM. Default: Terraform makes one.",
    )


NotifyEvent = Literal["succeeded", "failed", "lost", "deadline"]


class NotifyBlock(Block):
    """Messages about trainings."""

    webhook: Webhook | None = Field(
        default=None, description="Address that gets each message as JSON, its text in `text`, as Slack reads it."
    )
    sns_topic: TopicArn | None = Field(default=None, description="SNS topic that gets each message.")
    on: list[NotifyEvent] = Field(
        default=["succeeded", "failed", "lost", "deadline"],
        description="The results that a message is sent about. lost: the run ended without an exit status, because the "
        "driver restarted. deadline: the same, after AWS had stopped the machines at their deadline.",
    )

    @property
    def places(self) -> tuple[str, ...]:
        """The options that name a place for messages."""
        return tuple(name for name in ("webhook", "sns_topic") if getattr(self, name))


_BACKEND_SECRET = re.compile(r"(^|_)(conn_str|customer_key|secret_id)$")
"""Secrets of Terraform's backends that have names of their own: pg, s3 and cos."""
_PASSWORD_IN_URL = re.compile(r"\w://[^/\s@]*:[^/\s@]*@")


class Backend(Block):
    """The place of Terraform's state: `backend "s3" { … }`, with the arguments of that backend.

    Credentials come from the environment or a profile, because these arguments go into the stack's backend.tf, which
    you may commit.
    """

    type: BackendType
    arguments: dict[str, BackendValue] = Field(default={})

    @model_validator(mode="after")
    def _no_credentials(self) -> Backend:
        for name, value in self.arguments.items():
            if is_secret_argument(name) or _BACKEND_SECRET.search(name) or _PASSWORD_IN_URL.search(str(value)):
                raise ValueError(f"{name}: would be written into the stack's backend.tf; leave it to the environment")
        return self

    @model_validator(mode="after")
    def _an_object_in_a_bucket(self) -> Backend:
        if self.type != "s3":
            return self
        if not self.arguments.get("bucket"):
            raise ValueError("bucket: is required; `pio-tf init --backend` makes one")
        key = self.arguments.get("key", "key")
        if not isinstance(key, str) or not key or key.startswith("/") or key.endswith("/") or "//" in key:
            raise ValueError('key: must be the name of an object, like "pio-tf/ur/terraform.tfstate"')
        return self


class TerraformBlock(Block):
    """Options of Terraform."""

    binary: Program | None = Field(
        default=None,
        description="Terraform or OpenTofu binary. Default: the first that is new enough of `terraform` on PATH, "
        "`tofu` on PATH, and the one of the extra `pio-tf[terraform]`.",
    )
    directory: LocalPath | None = Field(
        default=None, description="Directory of the stack. Default: `.pio-tf/<cluster>/stack` beside this file."
    )
    cli_config_file: LocalPath | None = Field(
        default=None, description="Terraform CLI configuration file (provider mirrors, credentials)."
    )
    aws_provider_version: VersionConstraint | None = Field(
        default=None,
        description="Versions of the AWS provider to choose from, as a constraint: `~> 6.20`. It narrows the range "
        "that pio-tf supports, 3.39 to 6. [A lock file](plans.md#providers) fixes one version.",
    )
    parallelism: int | None = Field(
        default=None, ge=1, description="Resources to change at once. Default: from the number of machines."
    )
    lock_timeout: Wait = Field(
        default=10, description="How long to wait while another client has locked the state. 0: do not wait."
    )
    backend: Backend | None = Field(
        default=None,
        description="Place of the state; the label is the type of backend. For `s3`, the defaults are: `key` is "
        "`pio-tf/<cluster>/terraform.tfstate`, `region` is `aws.region`, `use_lockfile` and `encrypt` are true, and "
        "the credentials are those of the `aws` block.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_workspaces(cls, options: Any) -> Any:  # noqa: ANN401 - what the user wrote
        if isinstance(options, dict) and "workspace" in options:
            raise ValueError(
                "workspace: pio-tf does not use Terraform's workspaces: a cluster has one state, under a key of its "
                "own. For a second environment, use a cluster with another name"
            )
        return options


IdleAfter = Annotated[Duration, Field(ge=3600, le=86400)]
"""CloudWatch evaluates at most a day in periods of five minutes."""
RolePath = Annotated[str, Matching(r"/([!-.0-~]+/)*", 'a path in IAM, like "/pio-tf/"', kind="path in IAM")]


class FailsafeBlock(Block):
    """How AWS stops the machines when no client does. See [failsafe.md](failsafe.md)."""

    role: bool = Field(
        default=True,
        description="Let Terraform make the role with which EventBridge Scheduler stops the machines at their "
        "deadline. Without it and `role_arn`, machines start only with `--no-deadline`.",
    )
    role_arn: RoleArn | None = Field(
        default=None, description="ARN of an existing role to use instead, if Terraform may not change IAM."
    )
    role_path: RolePath = Field(default="/pio-tf/", description="Path of the role in IAM.")
    permissions_boundary: PolicyArn | None = Field(
        default=None, description="ARN of the role's permissions boundary, if the account requires one."
    )
    self_stop: bool | None = Field(
        default=None,
        description="Let the driver power itself off after a training, and the other machines after it, without any "
        "client. pio-tf installs a timer on them for that, as root. Default: true; false for instances that exist "
        "already.",
    )
    idle_alarms: bool = Field(
        default=True, description="Give each machine a CloudWatch alarm that stops it when it is idle."
    )
    idle_after: IdleAfter = Field(
        default=4 * 3600,
        description="How long driver and workers must be idle before their alarms stop them, 1h to 24h. Choose more "
        "than the longest stage of a training in which they only wait. The master, which is always idle, gets one day, "
        "or more than `train.max_runtime` if that is longer.",
    )

    @model_validator(mode="after")
    def _a_role_of_one_kind(self) -> FailsafeBlock:
        if self.role_arn is not None and self.permissions_boundary is not None:
            raise ValueError("permissions_boundary is for the role that Terraform makes; role_arn names another")
        return self


_KEEPING = ("PTF001", "PTF002", "PTF003", "PTF004", "PTF005")
UNWAIVABLE = (*_KEEPING, "PTF013")
"""Rules that always hold: no plan removes what must survive (only `destroy` does), or asks AWS for the impossible."""
WAIVABLE = ("PTF006", "PTF007", "PTF008", "PTF009", "PTF010", "PTF011", "PTF012")
"""The other rules. :data:`pio_tf.infra.policy.RULES` describes each."""


def _rule_id(value: str) -> str:
    if value in _KEEPING:
        raise ValueError("cannot be waived: no plan removes what must survive; only `pio-tf destroy` does")
    if value in UNWAIVABLE:
        raise ValueError("cannot be waived: AWS would refuse the change")
    if value not in WAIVABLE:
        raise ValueError(f"is not a rule that can be waived; these can: {', '.join(WAIVABLE)} (`pio-tf guard --list`)")
    return value


def _not_a_boolean(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take it as 1 or 0
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError
    return value


RuleId = Annotated[str, AfterValidator(_rule_id), Kind("rule")]
Amount = Annotated[float, BeforeValidator(_not_a_boolean), Field(ge=0, allow_inf_nan=False), Kind("number")]
InstanceTypes = Annotated[
    str,
    Matching(
        r"[a-z][a-z0-9-]*\.(\*|[a-z0-9-]+)",
        'an EC2 instance type or all sizes of one, like "r5.xlarge" or "r5.*"',
        kind="instance type",
    ),
]


class Waiver(Block):
    """A rule that does not refuse a plan. The guard still shows what breaks it, with the reason."""

    reason: Reason = Field(description="Why. The guard shows it whenever the rule would have refused.")


class GuardBlock(Block):
    """Limits for plans. The guard's rules also hold without this block: see [guard.md](guard.md)."""

    max_workers: int | None = Field(default=None, ge=1, description="Highest number of workers. Default: no limit.")
    instance_types: list[InstanceTypes] = Field(
        default=[],
        description='Instance types that machines may have; `"r5.*"` means all sizes of r5. Empty: any.',
    )
    max_monthly_cost_usd: Amount | None = Field(
        default=None, description="Highest estimated cost of the cluster in a month. Default: no limit."
    )
    training_hours_per_month: Amount = Field(
        default=20, le=744, description="Hours that the machines run in a month, for that estimate."
    )
    hourly_prices: dict[InstanceType, Amount] = Field(
        default={},
        description="On-demand prices of instance types, USD an hour. They override pio-tf's own, which are those of "
        "us-east-1.",
    )
    waive: dict[RuleId, Waiver] = Field(default={}, description="Blocks: waived rules, by label.")
