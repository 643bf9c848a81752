"""The schema of pio-tf.hcl: its blocks, and the rules between them."""

from __future__ import annotations

from datetime import datetime, timezone
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from pio_tf.config.blocks import (
    MOST_TAGS,
    AwsBlock,
    Block,
    ClusterBlock,
    DriverBlock,
    FailsafeBlock,
    GuardBlock,
    MachinesBlock,
    ModelBlock,
    NetworkBlock,
    NotifyBlock,
    PioBlock,
    ScheduleBlock,
    ScratchVolume,
    SparkBlock,
    SshBlock,
    TerraformBlock,
    TrainBlock,
)
from pio_tf.config.kinds import MY_IP, Password, SourceName
from pio_tf.config.partitions import partition_of
from pio_tf.config.problems import Mistakes, nearest_line
from pio_tf.config.recurring_time import check_runtime, find_zone, parse_recurring_time
from pio_tf.config.repositories import GUIDES, RepositoryBlock, Source, check_sources, collect_sources, find_missing
from pio_tf.config.roles import Role, role_of
from pio_tf.config.software import SoftwareBlock, check_versions
from pio_tf.config.storage import AnySource, ElasticsearchBlock, HbaseBlock, HdfsBlock
from pio_tf.config.type_lists import TypeList, machine_types, master_types

_NETWORK_EXISTS = "is where Terraform makes machines, and those that the machines block names exist; remove this block"
_WITHOUT_TERRAFORM = "needs Terraform: set machines.terraform = true, or remove this block"


class Config(Block):
    """A whole pio-tf.hcl."""

    cluster: ClusterBlock = Field(description="Block: the cluster.")
    aws: AwsBlock = Field(description="Block: AWS.")
    network: NetworkBlock = Field(
        default_factory=NetworkBlock.model_construct,
        description="Block: the network. Required, but for instances that exist already.",
    )
    driver: DriverBlock = Field(default_factory=DriverBlock.model_construct, description="Block: the driver.")
    spark: SparkBlock = Field(default_factory=SparkBlock.model_construct, description="Block: the Spark cluster.")
    machines: MachinesBlock = Field(
        default_factory=MachinesBlock.model_construct, validate_default=True, description="Block: all machines."
    )
    ssh: SshBlock = Field(description="Block: SSH.")
    pio: PioBlock = Field(description="Block: PredictionIO.")
    elasticsearch: ElasticsearchBlock | None = Field(default=None, description="Block: the source ELASTICSEARCH.")
    hbase: HbaseBlock | None = Field(default=None, description="Block: the source HBASE.")
    hdfs: HdfsBlock | None = Field(default=None, description="Block: the source HDFS.")
    source: dict[SourceName, AnySource] = Field(default={}, description="Blocks: other sources, by label.")
    repository: RepositoryBlock = Field(
        default_factory=RepositoryBlock.model_construct,
        validate_default=True,
        description="Blocks: the repositories, by label.",
    )
    software: SoftwareBlock = Field(
        default_factory=SoftwareBlock.model_construct,
        validate_default=True,
        description="Block: the software of the machines.",
    )
    train: TrainBlock = Field(default_factory=TrainBlock.model_construct, description="Block: training.")
    model: ModelBlock = Field(
        default_factory=ModelBlock.model_construct, description="Block: the model of the Universal Recommender."
    )
    schedule: ScheduleBlock | None = Field(default=None, description="Block: trainings on AWS's clock.")
    notify: NotifyBlock = Field(default_factory=NotifyBlock.model_construct, description="Block: messages.")
    terraform: TerraformBlock = Field(default_factory=TerraformBlock.model_construct, description="Block: Terraform.")
    failsafe: FailsafeBlock = Field(
        default_factory=FailsafeBlock.model_construct, description="Block: automatic stops."
    )
    guard: GuardBlock = Field(default_factory=GuardBlock.model_construct, description="Block: limits for plans.")

    @field_validator("aws", mode="after")
    @classmethod
    def _tags_once(cls, aws: AwsBlock, info: ValidationInfo) -> AwsBlock:
        """Refuse tags that the AWS provider would set twice, which provider 3 and 4 cannot, or not at all."""
        tags = info.data["cluster"].tags if "cluster" in info.data else {}
        mistakes = [("aws.default_tags", f"{key} is in cluster.tags, too") for key in aws.default_tags if key in tags]
        mistakes += [
            ("aws.ignore_tags", f"covers the tag {key}, which pio-tf.hcl sets")
            for key in {**tags, **aws.default_tags}
            if aws.ignore_tags.ignores(key)
        ]
        if len(tags) + len(aws.default_tags) > MOST_TAGS:
            mistakes.append(("aws.default_tags", f"and cluster.tags must be at most {MOST_TAGS} together"))
        if mistakes:
            raise Mistakes(mistakes)
        return aws

    @model_validator(mode="before")
    @classmethod
    def _count_named_workers(cls, options: Any) -> Any:  # noqa: ANN401 - what the user wrote
        """Set ``spark.workers`` for instances that exist already: their number is that of the ids."""
        if not isinstance(options, dict):
            return options
        machines, spark = options.get("machines"), options.get("spark", {})
        workers = machines.get("workers") if isinstance(machines, dict) else None
        if not isinstance(workers, list) or not workers or not isinstance(spark, dict):
            return options
        return {**options, "spark": {"workers": len(workers), **spark}}

    @field_validator("machines", mode="after")
    @classmethod
    def _a_network_or_instances(cls, machines: MachinesBlock, info: ValidationInfo) -> MachinesBlock:
        """Require the network in which Terraform makes the machines, and refuse it for machines that exist."""
        network, spark = info.data.get("network"), info.data.get("spark")
        if network is None:
            return machines  # it has a mistake of its own
        is_given = bool(network.model_fields_set)
        if not machines.ids:
            if not is_given:
                raise Mistakes([("network", "this block is required")])
            return machines
        if is_given:
            raise Mistakes([("network", _NETWORK_EXISTS)])
        if spark is not None and spark.workers != len(machines.workers):
            named = f"machines.workers names {len(machines.workers)}"
            raise Mistakes([("spark.workers", f"is {spark.workers}, but {named}; remove this line")])
        return machines

    @field_validator("repository", mode="after")
    @classmethod
    def _fits_the_sources(cls, repository: RepositoryBlock, info: ValidationInfo) -> RepositoryBlock:
        """Validate here, not after the model, so that pydantic reports it with the mistakes of other blocks."""
        read = info.data  # the fields above this one that have no mistake
        if "source" not in read or ((pio := read.get("pio")) is not None and pio.keep_files):
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

    @field_validator("model", mode="after")
    @classmethod
    def _model_in_elasticsearch(cls, model: ModelBlock, info: ValidationInfo) -> ModelBlock:
        read = info.data
        if not model.is_used or "elasticsearch" not in read or "source" not in read:
            return model
        if not isinstance(read["elasticsearch"] or read["source"].get("ELASTICSEARCH"), ElasticsearchBlock):
            raise Mistakes([("model", "needs the elasticsearch block: pio-tf asks Elasticsearch about the model")])
        return model

    @field_validator("schedule", mode="after")
    @classmethod
    def _stops_in_time(cls, schedule: ScheduleBlock | None, info: ValidationInfo) -> ScheduleBlock | None:
        machines: MachinesBlock | None = info.data.get("machines")
        if schedule is not None and machines is not None and machines.ids and not machines.terraform:
            raise Mistakes([("schedule", _WITHOUT_TERRAFORM)])
        if schedule is not None and schedule.cron is not None and "train" in info.data:
            try:
                check_runtime(
                    parse_recurring_time(schedule.cron),
                    find_zone(schedule.timezone),
                    max_runtime=info.data["train"].max_runtime,
                    now=datetime.now(tz=timezone.utc),
                )
            except ValueError as error:
                raise Mistakes([("schedule.cron", str(error))]) from None
        return schedule

    _path: Path = PrivateAttr(default=Path("pio-tf.hcl"))
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)
    _environment_secrets: tuple[str, ...] = PrivateAttr(default=())
    _my_ip: IPv4Network | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The file of this configuration."""
        return self._path

    @property
    def environment_secrets(self) -> tuple[str, ...]:
        """The values of ``env(…)`` in free text, such as ``spark.conf``. Passwords have options of their own."""
        return self._environment_secrets

    @property
    def ssh_cidrs(self) -> list[IPv4Network]:
        """The address ranges that may open SSH connections; the one of ``"my-ip"`` if it is known."""
        ranges = (self._my_ip if one == MY_IP else one for one in self.network.ssh_cidrs)
        return [one for one in ranges if isinstance(one, IPv4Network)]

    def at(self, address: IPv4Network) -> Config:
        """Return this configuration with an address for ``"my-ip"``."""
        located = self.model_copy()
        located._my_ip = address  # noqa: SLF001 - of its own class
        return located

    def in_directory(self, directory: Path) -> Config:
        """Return this configuration with another directory for the cluster's files."""
        moved = self.model_copy()
        moved._path = directory / self._path.name  # noqa: SLF001 - of its own class
        return moved

    @property
    def adopted(self) -> bool:
        """Whether the machines are instances that exist already: pio-tf leaves them as they are."""
        return bool(self.machines.ids)

    @property
    def power_only(self) -> bool:
        """Whether there is no Terraform: pio-tf switches and uses instances that exist already."""
        return self.adopted and not self.machines.terraform

    @property
    def self_stops(self) -> bool:
        """Whether the driver powers itself off after a training, and the other machines after it."""
        return not self.adopted if self.failsafe.self_stop is None else self.failsafe.self_stop

    @property
    def work_dir(self) -> Path:
        """The directory of this cluster's files: ``.pio-tf/<cluster>`` beside pio-tf.hcl."""
        return self._path.parent / ".pio-tf" / self.cluster.name

    @property
    def stack_dir(self) -> Path:
        """The directory of the stack."""
        return self.terraform.directory or self.work_dir / "stack"

    @property
    def sources(self) -> tuple[Source, ...]:
        """PredictionIO's sources, from all their blocks."""
        return collect_sources({path: getattr(self, path) for path in GUIDES.values()}, self.source)

    @property
    def passwords(self) -> tuple[tuple[str, Password], ...]:
        """Every password, and every other secret that has an option of its own, with that option's path."""
        found = [(f"{source.path}.password", getattr(source.block, "password", None)) for source in self.sources]
        found.append(("notify.webhook", self.notify.webhook))
        return tuple((path, password) for path, password in found if password is not None)

    def where(self, dotted: str) -> str:
        """Return the place of ``network.subnet_id``, ``pio-tf.hcl:12``: of the value or its block, else the file."""
        line = self.line(dotted)
        return self._path.name if line is None else f"{self._path.name}:{line}"

    def line(self, dotted: str) -> int | None:
        """Return the line of a value, else of the nearest block around it, from 1; None if the file has neither."""
        return nearest_line(dotted, self._lines)

    def types(self, role: Role) -> TypeList:
        """Return the instance types that machines of a role may have."""
        if role == "master":
            return master_types(self.spark, self.guard)
        path, block = ("driver", self.driver) if role == "driver" else ("spark", self.spark)
        return machine_types(path, block, self.guard)

    def scratch_volume(self, role: Role) -> ScratchVolume | None:
        """Return the volume for scratch files of machines of a role. A master has none: it writes no such files."""
        blocks = {"driver": self.driver, "worker": self.spark}
        return blocks[role].scratch_volume if role in blocks else None

    @property
    def type_lists(self) -> tuple[TypeList, ...]:
        """The type lists of all roles, each once."""
        return tuple(dict.fromkeys((self.types("driver"), self.types("worker"), self.types("master"))))

    @property
    def has_spare_types(self) -> bool:
        """Whether machines may take another type if AWS has no capacity. Then Terraform leaves types alone."""
        return not self.adopted and any(len(one.types) > 1 for one in self.type_lists)

    def with_first_types(self, kinds: dict[Role, str]) -> Config:
        """Return the configuration with these types first in their roles' lists: new machines get them."""
        driver, spark, names = dict[str, list[str]](), dict[str, list[str]](), {"master": "master_instance_types"}
        for role, kind in kinds.items():
            types = self.types(role).types
            if types != (kind,):
                changed = driver if role == "driver" else spark
                changed[names.get(role, "instance_types")] = [kind, *(one for one in types if one != kind)]
        blocks = {"driver": self.driver.model_copy(update=driver), "spark": self.spark.model_copy(update=spark)}
        return self.model_copy(update=blocks)

    def may_be(self, machine: str, kind: str) -> bool:
        """Return whether pio-tf may have given a machine, such as ``worker-1``, this instance type."""
        wanted = self.types(role_of(machine))
        return self.has_spare_types and kind in wanted.types

    @property
    def machine_names(self) -> tuple[str, ...]:
        """``driver``, ``master``, ``worker-1`` … in the order of their host numbers."""
        return ("driver", "master", *(f"worker-{n}" for n in range(1, self.spark.workers + 1)))

    @property
    def first_host(self) -> int | None:
        """Host number of the driver in the subnet; None if AWS chooses the addresses."""
        if self.network.first_host is None and self.network.cidr is not None:
            return 10
        return self.network.first_host

    @model_validator(mode="after")
    def _arns_are_of_the_region(self) -> Config:
        role, region = self.aws.assume_role, self.aws.region
        wanted = partition_of(region)
        for name, arn in (
            ("aws.assume_role.role_arn", role and role.role_arn),
            ("failsafe.role_arn", self.failsafe.role_arn),
            ("schedule.role_arn", self.schedule and self.schedule.role_arn),
            ("failsafe.permissions_boundary", self.failsafe.permissions_boundary),
            ("notify.sns_topic", self.notify.sns_topic),
            ("machines.kms_key_id", self.machines.kms_key_id),
        ):
            if arn and arn.startswith("arn:") and arn.split(":")[1] != wanted:
                raise ValueError(f"{name}: must begin with arn:{wanted}: as all ARNs of {region} do, got {arn}")
        for name, what, arn in (
            ("notify.sns_topic", "topic", self.notify.sns_topic),
            ("machines.kms_key_id", "key", self.machines.kms_key_id),
        ):
            if arn and arn.startswith("arn:") and arn.split(":")[3] != region:
                raise ValueError(f"{name}: must be a {what} in {region}, the region of the aws block, got {arn}")
        return self

    @model_validator(mode="after")
    def _settings_have_a_file(self) -> Config:
        if self.pio.keep_files and self.spark.conf:
            raise ValueError(
                "spark.conf: is written to spark-defaults.conf, which stays as it is with pio.keep_files; write the "
                "settings there, or as `--conf NAME=VALUE` in train.spark_arguments"
            )
        return self

    @model_validator(mode="after")
    def _adopted_machines_train_alone(self) -> Config:
        if self.schedule is None or not self.adopted:
            return self
        if self.spark.start_command:
            raise ValueError(
                "schedule: starts machines without a client, and only a client runs spark.start_command; let a unit on "
                "the machines start Spark"
            )
        if not self.failsafe.self_stop:
            raise ValueError(
                "schedule: needs failsafe.self_stop = true here: else master and workers run on after a training"
            )
        return self

    @model_validator(mode="after")
    def _addresses_fit(self) -> Config:
        cidr, first = self.network.cidr, self.first_host
        if cidr is not None and first is not None:
            needed = first + len(self.machine_names) + 1  # AWS reserves the last address
            if needed > cidr.num_addresses:
                raise ValueError(
                    f"network.cidr: {cidr} has no room for {len(self.machine_names)} machines from host {first}"
                )
        return self


LABELLED = {"source": '"NAME"', "repository": '"metadata"', "guard.waive": '"PTF006"'}
"""The blocks with a label that is a name, and an example of the label."""


def block_class(model: type[BaseModel], name: str) -> type[Block] | None:
    """Return the model of the block ``name`` inside a model; None if ``name`` is an option or unknown."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    candidates = (field.annotation, *get_args(field.annotation))
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, Block)), None)
