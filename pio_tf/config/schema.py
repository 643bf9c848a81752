"""What pio-tf.hcl may say: one pydantic model a block, most of them in modules of their own. Field
descriptions are the reference in docs/configuration.md.

Paths on a *machine* are strings, absolute or beginning with ``~/`` (the SSH user's home). Paths on *this* computer
are :class:`pathlib.Path`, and a relative one is meant from the directory of pio-tf.hcl.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from pio_tf.config.aws import AwsBlock
from pio_tf.config.block import Block
from pio_tf.config.failsafe import LONGEST_RUN, FailsafeBlock
from pio_tf.config.guard import GuardBlock
from pio_tf.config.kinds import (
    ClusterName,
    Duration,
    JumpHost,
    LocalPath,
    Port,
    RemotePath,
    S3Url,
    SourceName,
    Text,
    UserName,
    Wait,
    Words,
)
from pio_tf.config.machines import DriverBlock, SparkBlock
from pio_tf.config.network import NetworkBlock
from pio_tf.config.problems import Mistakes
from pio_tf.config.repositories import GUIDES, RepositoryBlock, Source, check_sources, collect_sources, find_missing
from pio_tf.config.software import SoftwareBlock, check_versions
from pio_tf.config.storage import AnySource, ElasticsearchBlock, HbaseBlock, HdfsBlock
from pio_tf.config.terraform import TerraformBlock


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
