"""What pio-tf.hcl may say: one pydantic model a block. Field descriptions are the reference in docs/configuration.md.

Paths on a *machine* are strings, absolute or beginning with ``~/`` (the SSH user's home). Paths on *this* computer
are :class:`pathlib.Path`, and a relative one is meant from the directory of pio-tf.hcl.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from pio_tf.config.block import Block
from pio_tf.config.failsafe import LONGEST_RUN, FailsafeBlock
from pio_tf.config.guard import GuardBlock
from pio_tf.config.kinds import (
    BackendType,
    BackendValue,
    Cidr,
    ClusterName,
    DownloadUrl,
    Duration,
    HdfsPath,
    ImageId,
    InstanceType,
    JumpHost,
    LocalPath,
    Memory,
    Port,
    Program,
    Region,
    RemotePath,
    RoleArn,
    S3Url,
    SettingName,
    Sha512,
    SourceName,
    SubnetId,
    Text,
    Url,
    UserName,
    Version,
    VpcId,
    Wait,
    Words,
)
from pio_tf.config.problems import Mistakes
from pio_tf.config.repositories import GUIDES, RepositoryBlock, Source, check_sources, collect_sources, find_missing
from pio_tf.config.software import SoftwareBlock, check_versions
from pio_tf.config.storage import AnySource, ElasticsearchBlock, HbaseBlock, HdfsBlock

MINIMUM_DRIVER_MEMORY_MIB = 16 * 1024
"""The guide's minimum for a machine that runs the Spark driver of the Universal Recommender."""

_CREDENTIAL = re.compile(r"(^|_)(password|secret|token|conn_str|customer_key|access_key|secret_key|secret_id)$")


class ClusterBlock(Block):
    """The cluster itself."""

    name: ClusterName = Field(
        description="Name of the cluster: lower-case letters, digits and hyphens, at most 40. It is the value of the "
        "tag `pio-tf:cluster` on everything that is created."
    )
    tags: dict[str, Text] = Field(default_factory=dict, description="More tags for everything that is created.")
    start_timeout: Duration = Field(
        default=900, description="How long `up` waits for machines, SSH and Spark before it gives up."
    )
    stop_timeout: Duration = Field(default=900, description="How long `down` waits for every machine to be stopped.")
    capacity_wait: Wait = Field(
        default=300,
        description="How long machines that AWS has no capacity for are asked for again, beside `start_timeout`. 0: "
        "not at all.",
    )
    force_stop_after: Wait = Field(
        default=480,
        description="How long a machine may be `stopping` before it is stopped by force, which does not wait for its "
        "operating system. 0: never.",
    )

    @model_validator(mode="after")
    def _leave_our_tags(self) -> ClusterBlock:
        ours = sorted(key for key in self.tags if key.startswith(("pio-tf:", "aws:")) or key == "Name")
        if ours:
            raise ValueError(f"tags: {', '.join(ours)} is reserved; choose another key")
        return self


class AssumeRole(Block):
    """A role to assume for every AWS call, Terraform's included."""

    role_arn: RoleArn = Field(description="ARN of the role.")
    session_name: Words = Field(default="pio-tf", description="Session name, as it shows in CloudTrail.")
    external_id: Words | None = Field(
        default=None, description="External id, where the role's trust policy asks for one."
    )


class AwsBlock(Block):
    """Where and as whom AWS is called. Credentials come from the usual places; none stand in this file."""

    region: Region = Field(description="AWS region.")
    profile: Words | None = Field(default=None, description="Profile of the AWS configuration files.")
    credentials_file: LocalPath | None = Field(
        default=None, description="Credentials file to read instead of ~/.aws/credentials."
    )
    assume_role: AssumeRole | None = Field(default=None, description="A role to assume.")
    endpoint_url: Url | None = Field(default=None, description="Address of another AWS API, such as the sandbox.")


class NetworkBlock(Block):
    """An existing subnet, or a new network of our own. Give `vpc_id` and `subnet_id`, or `cidr`."""

    vpc_id: VpcId | None = Field(default=None, description="Existing VPC.")
    subnet_id: SubnetId | None = Field(default=None, description="Existing subnet of that VPC.")
    cidr: Cidr | None = Field(
        default=None, description="Address range of a new VPC with one subnet, /16 to /28 (an AWS limit)."
    )
    availability_zone: Words | None = Field(default=None, description="Zone of the new subnet.")
    public_ips: bool = Field(
        default=False,
        description="Whether machines in the new subnet get a public IPv4 address while they run (needed to reach the "
        "internet without a NAT gateway). It changes at every start; AWS charges for it by the hour.",
    )
    ssh_cidrs: list[Cidr] = Field(
        default_factory=list, description="Address ranges that may open SSH connections. Empty: none."
    )
    first_host: int | None = Field(
        default=None,
        ge=4,
        description="Host number in the subnet of the first machine (driver; then master, worker-1 …), for fixed "
        "private addresses. AWS keeps the first four for itself. Default: 10 in a new network; in an existing subnet, "
        "AWS chooses.",
    )
    driver_eip: bool = Field(default=False, description="Whether the driver gets an Elastic IP, which it keeps.")

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
        if self.cidr is not None and not 16 <= self.cidr.prefixlen <= 28:
            raise ValueError(f"cidr: {self.cidr} must be between /16 and /28, as AWS allows")
        return self


class AmiFilter(Block):
    """Finds the newest image by its owner and name."""

    owner: Words = Field(default="099720109477", description="Account id (default: Canonical) or alias of the owner.")
    name: Words = Field(
        default="ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*", description="Name, with * as a wildcard."
    )


class MachineBlock(Block):
    """What driver and Spark machines have in common."""

    instance_type: InstanceType = Field(default="r3.xlarge", description="EC2 instance type.")
    root_volume_gib: int = Field(default=50, ge=8, le=16384, description="Size of the encrypted gp3 root disk, GiB.")
    ami: ImageId | None = Field(default=None, description="Image id. Only used when a machine is created.")
    ami_filter: AmiFilter | None = Field(default=None, description="Finds the newest image. Not together with `ami`.")

    @model_validator(mode="after")
    def _one_way_to_an_image(self) -> MachineBlock:
        if self.ami is not None and self.ami_filter is not None:
            raise ValueError("give ami or ami_filter, not both")
        return self


class DriverBlock(MachineBlock):
    """The machine that runs `pio train`, and no service."""

    memory: Memory | None = Field(
        default=None, description='Heap of the Spark driver, like "20g". Default: from the instance type.'
    )
    allow_small_memory: bool = Field(
        default=False, description="Whether a driver with less than 16 GiB of memory is accepted."
    )


class SparkBlock(MachineBlock):
    """The Spark standalone cluster: one master and its workers."""

    workers: int = Field(default=2, ge=1, le=500, description="Number of workers.")
    min_workers: int | None = Field(
        default=None,
        ge=1,
        description="How many workers are enough where AWS has no capacity for all of them. Default: all; what was "
        "started is then stopped again.",
    )
    master_instance_type: InstanceType | None = Field(
        default=None, description="Instance type of the master, which needs little. Default: `instance_type`."
    )
    home: RemotePath = Field(default="/usr/local/spark", description="SPARK_HOME on every machine.")
    version: Version | None = Field(
        default=None,
        description="Spark version that a new machine installs, unless `home` is there already. Default: 2.4.8 with "
        "PredictionIO 0.14.0, 2.3.4 with 0.13.0, 2.1.1 with 0.12.1.",
    )
    download_url: DownloadUrl | None = Field(
        default=None,
        description="Where a new machine fetches Spark from (a .tgz). Default: `software.mirrors`.",
    )
    download_sha512: Sha512 | None = Field(
        default=None, description="SHA-512 of Spark's archive. Required with `download_url`."
    )
    master_port: Port = Field(default=7077, description="Port of the master.")
    master_ui_port: Port = Field(default=8080, description="Port of the master's web page and JSON status.")
    executor_memory: Memory | None = Field(
        default=None, description='Heap of an executor, like "20g". Default: from the instance type.'
    )
    executor_cores: int | None = Field(
        default=None, ge=1, description="Cores of an executor. Default: from the instance type."
    )
    event_log: bool = Field(
        default=False,
        description="Whether Spark writes what each training did into HDFS, for a Spark history server.",
    )
    event_log_dir: HdfsPath = Field(
        default="/spark-events",
        description="Directory of these event logs, on the name node of the `hdfs` block. It must exist.",
    )
    conf: dict[SettingName, Text] = Field(default_factory=dict, description="More settings for spark-defaults.conf.")

    @model_validator(mode="after")
    def _no_more_than_there_are(self) -> SparkBlock:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers: must be at most workers ({self.workers}), got {self.min_workers}")
        return self

    @model_validator(mode="after")
    def _never_unchecked(self) -> SparkBlock:
        if self.download_url is not None and self.download_sha512 is None:
            raise ValueError(
                "download_sha512: is required with download_url: nothing is installed unchecked (sha512sum FILE tells)"
            )
        return self


class SshBlock(Block):
    """How machines are reached."""

    user: UserName = Field(default="ubuntu", description="User on the machines.")
    key: LocalPath = Field(
        description="Private key file. Its public half (the same name with .pub) is installed by AWS."
    )
    key_pair: Words | None = Field(
        default=None, description="Name of an existing EC2 key pair. Default: a new one is made from the public key."
    )
    port: Port = Field(default=22, description="SSH port.")
    bastion: JumpHost | None = Field(default=None, description="Jump host, as user@host:port.")
    address: Literal["auto", "private", "public"] = Field(
        default="auto",
        description="Which address of the driver to connect to. auto: its public one if it has one and there is no "
        "bastion, else the private one. The other machines are reached through the driver.",
    )


class PioBlock(Block):
    """PredictionIO on the driver."""

    home: RemotePath = Field(default="/usr/local/pio", description="PIO_HOME on the driver.")
    engine_dir: RemotePath = Field(
        description="Engine directory on the driver. PIO derives the engine's version from its path, so it must be the "
        "same path as on the prediction server."
    )
    version: Literal["0.12.1", "0.13.0", "0.14.0"] = Field(default="0.14.0", description="PredictionIO version.")
    fs_basedir: RemotePath = Field(default="~/.pio_store", description="PIO_FS_BASEDIR on the driver.")


class TrainBlock(Block):
    """What `pio-tf train` does."""

    pio_arguments: list[Words] = Field(default_factory=list, description="Arguments of `pio train` before the `--`.")
    spark_arguments: list[Words] = Field(default_factory=list, description="spark-submit arguments after the `--`.")
    keep_up: bool = Field(default=False, description="Whether machines go on running after a training.")
    max_runtime: Annotated[Duration, Field(ge=60, le=LONGEST_RUN)] = Field(
        default=8 * 3600,
        description="How long machines may run after `train` or `up` has started them: then AWS stops them, whatever "
        "happened to the client. At most 144h. `up --for 2h` and `pio-tf extend 2h` set another time.",
    )
    upload: S3Url | None = Field(
        default=None, description="Where the log and the record of each run are copied to, besides this computer."
    )


class Backend(Block):
    """Where Terraform keeps its state: `backend "s3" { … }`, with the arguments of that backend. Credentials come from
    the environment or a profile: the stack's backend.tf, which is meant to be committed, carries what stands here."""

    type: BackendType
    arguments: dict[str, BackendValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_credentials(self) -> Backend:
        for name in self.arguments:
            if _CREDENTIAL.search(name):
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
    """Terraform itself."""

    binary: Program | None = Field(
        default=None, description="Terraform or OpenTofu binary. Default: from PATH, else the one of the extra."
    )
    directory: LocalPath | None = Field(
        default=None, description="Where the stack is written. Default: `.pio-tf/<cluster>/stack` beside this file."
    )
    cli_config_file: LocalPath | None = Field(
        default=None, description="Terraform CLI configuration file (provider mirrors, credentials)."
    )
    parallelism: int | None = Field(
        default=None, ge=1, description="Resources at once. Default: follows the number of machines."
    )
    lock_timeout: Wait = Field(
        default=10, description="How long to wait for a state that somebody else has locked. 0: not at all."
    )
    backend: Backend | None = Field(
        default=None,
        description="Where the state is kept; its label is the kind of backend. For `s3` these are the defaults: "
        "`key` is `pio-tf/<cluster>/terraform.tfstate`, `region` is `aws.region`, `use_lockfile` and `encrypt` are "
        "true, and the credentials are those of the `aws` block.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_workspaces(cls, options: Any) -> Any:  # noqa: ANN401 - what the user wrote
        if isinstance(options, dict) and "workspace" in options:
            raise ValueError(
                "workspace: Terraform's workspaces are not used: a cluster has one state, under a key of its own. "
                "A second environment is a cluster with another name"
            )
        return options


class Config(Block):
    """A whole pio-tf.hcl."""

    cluster: ClusterBlock = Field(description="Block: the cluster.")
    aws: AwsBlock = Field(description="Block: AWS.")
    network: NetworkBlock = Field(description="Block: the network.")
    driver: DriverBlock = Field(default_factory=DriverBlock, description="Block: the driver.")
    spark: SparkBlock = Field(default_factory=SparkBlock, description="Block: the Spark cluster.")
    ssh: SshBlock = Field(description="Block: SSH.")
    pio: PioBlock = Field(description="Block: PredictionIO.")
    elasticsearch: ElasticsearchBlock | None = Field(default=None, description="Block: the source ELASTICSEARCH.")
    hbase: HbaseBlock | None = Field(default=None, description="Block: the source HBASE.")
    hdfs: HdfsBlock | None = Field(default=None, description="Block: the source HDFS.")
    source: dict[SourceName, AnySource] = Field(default_factory=dict, description="Blocks: other sources, by label.")
    repository: RepositoryBlock = Field(
        default_factory=RepositoryBlock, validate_default=True, description="Blocks: the repositories, by label."
    )
    software: SoftwareBlock = Field(
        default_factory=SoftwareBlock, validate_default=True, description="Block: what machines install."
    )
    train: TrainBlock = Field(default_factory=TrainBlock, description="Block: training.")
    terraform: TerraformBlock = Field(default_factory=TerraformBlock, description="Block: Terraform.")
    failsafe: FailsafeBlock = Field(default_factory=FailsafeBlock, description="Block: what stops the machines.")
    guard: GuardBlock = Field(default_factory=GuardBlock, description="Block: what plans may do.")

    @field_validator("repository", mode="after")
    @classmethod
    def _fits_the_sources(cls, repository: RepositoryBlock, info: ValidationInfo) -> RepositoryBlock:
        """Here and not after the whole, so that it is told together with the mistakes of other blocks."""
        read = info.data  # what was read without a mistake, of what stands above
        if "source" not in read:
            return repository
        unread = [name for name, path in GUIDES.items() if path not in read]
        sources = collect_sources({path: read.get(path) for path in GUIDES.values()}, read["source"])
        mistakes = dict(find_missing([*unread, *(source.name for source in sources)], repository))
        if not unread:
            pio, spark = read.get("pio"), read.get("spark")
            version, event_log = pio and pio.version, bool(spark and spark.event_log)
            for name, message in check_sources(sources, repository, version=version, event_log=event_log):
                mistakes.setdefault(name, message)
        if mistakes:
            raise Mistakes(mistakes.items())
        return repository

    @field_validator("software", mode="after")
    @classmethod
    def _versions_go_together(cls, software: SoftwareBlock, info: ValidationInfo) -> SoftwareBlock:
        mistakes = check_versions(software, pio=info.data.get("pio"), spark=info.data.get("spark"))
        if mistakes:
            raise Mistakes(mistakes.items())
        return software

    _path: Path = PrivateAttr(default=Path("pio-tf.hcl"))
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file that this was read from."""
        return self._path

    @property
    def work_dir(self) -> Path:
        """Where pio-tf keeps this cluster's files: ``.pio-tf/<cluster>`` beside pio-tf.hcl."""
        return self._path.parent / ".pio-tf" / self.cluster.name

    @property
    def stack_dir(self) -> Path:
        """Where the stack is written."""
        return self.terraform.directory or self.work_dir / "stack"

    @property
    def sources(self) -> tuple[Source, ...]:
        """PredictionIO's sources, whatever blocks they come from."""
        return collect_sources({path: getattr(self, path) for path in GUIDES.values()}, self.source)

    def where(self, dotted: str) -> str:
        """``pio-tf.hcl:12`` for ``network.subnet_id``; the block's line, else the file, where the value has no line."""
        line = self.line(dotted)
        return self._path.name if line is None else f"{self._path.name}:{line}"

    def line(self, dotted: str) -> int | None:
        """The line of a value, else of the nearest block around it, counted from 1; None where neither is there."""
        while dotted:
            if dotted in self._lines:
                return self._lines[dotted]
            dotted = dotted.rpartition(".")[0]
        return None

    @property
    def machine_names(self) -> tuple[str, ...]:
        """``driver``, ``master``, ``worker-1`` … in the order of their host numbers."""
        return ("driver", "master", *(f"worker-{n}" for n in range(1, self.spark.workers + 1)))

    @property
    def first_host(self) -> int | None:
        """Host number of the driver in the subnet, or None where AWS chooses the addresses."""
        if self.network.first_host is None and self.network.cidr is not None:
            return 10
        return self.network.first_host

    @model_validator(mode="after")
    def _addresses_fit(self) -> Config:
        cidr, first = self.network.cidr, self.first_host
        if cidr is not None and first is not None:
            needed = first + len(self.machine_names) + 1  # AWS keeps the last address
            if needed > cidr.num_addresses:
                raise ValueError(
                    f"network.cidr: {cidr} has no room for {len(self.machine_names)} machines from host {first}"
                )
        return self


LABELLED = {"source": '"NAME"', "repository": '"metadata"', "guard.waive": '"PTF006"'}
"""Blocks whose label is a name in pio-tf.hcl, and such a label."""


def block_class(model: type[BaseModel], name: str) -> type[Block] | None:
    """The model of the block ``name`` inside a model; None where ``name`` is an option, or unknown."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    candidates = (field.annotation, *get_args(field.annotation))
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, Block)), None)
