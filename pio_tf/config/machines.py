"""The ``driver`` and ``spark`` blocks: the machines."""

from __future__ import annotations

from pydantic import Field, model_validator

from pio_tf.config.block import Block
from pio_tf.config.kinds import (
    DownloadUrl,
    HdfsPath,
    ImageId,
    InstanceType,
    Memory,
    Port,
    RemotePath,
    SettingName,
    Sha512,
    Text,
    Version,
    Words,
)

MINIMUM_DRIVER_MEMORY_MIB = 16 * 1024
"""The guide's minimum for a machine that runs the Spark driver of the Universal Recommender."""


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
