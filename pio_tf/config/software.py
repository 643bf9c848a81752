"""The ``software`` block: what new machines install, and from where."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pio_tf.config.block import Block
from pio_tf.config.kinds import DownloadUrl, RemotePath, Sha512, UserName, Version, Words, matching

APACHE = "https://archive.apache.org/dist"
"""Apache's archive, which keeps every release."""

_URL = "Where it is fetched from. Default: `mirrors`."
_SHA512 = "SHA-512 of that file."

Mirror = Annotated[
    str,
    matching(
        r"(https?://[^\s@/]+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^\s]*)?",
        'a base address, like "https://mirror.example.org/apache" or "s3://bucket/prefix", without a password',
        kind="URL",
    ),
]


class DownloadBlock(Block):
    """An archive that a machine installs."""

    url: DownloadUrl | None = Field(default=None, description=_URL)
    sha512: Sha512 | None = Field(default=None, description=_SHA512)

    @model_validator(mode="after")
    def _never_unchecked(self) -> DownloadBlock:
        if self.url is not None and self.sha512 is None:
            raise ValueError("sha512: is required with url: nothing is installed unchecked (sha512sum FILE tells)")
        return self


class JavaBlock(DownloadBlock):
    """Java as a tarball, for images whose distribution has no package of Java 8 (Debian), or that reach no package
    source. Without this block: the image's Java, else the package openjdk-8-jre-headless."""

    url: DownloadUrl = Field(description="A .tar.gz of Java 8 for x86-64, like Eclipse Temurin's.")
    sha512: Sha512 = Field(description=_SHA512)
    version: Words = Field(default="8", description="What this Java is called in /opt/java.")
    home: RemotePath = Field(default="/usr/local/java", description="JAVA_HOME on every machine.")


class HadoopBlock(DownloadBlock):
    """Hadoop's client on the driver. Its home is `hdfs.hadoop_home`."""

    version: Version | None = Field(default=None, description="Default: the one that goes with `pio.version`.")


class HbaseClientBlock(DownloadBlock):
    """HBase's client on the driver. Its home is `hbase.home`."""

    version: Version | None = Field(default=None, description="Default: the one that goes with `pio.version`.")


class ElasticsearchClientBlock(Block):
    """Elasticsearch on the driver: a directory with its configuration alone. Its home is `elasticsearch.home`."""

    version: Version | None = Field(
        default=None, description="Version of the Elasticsearch that runs. Default: one that goes with `pio.version`."
    )


class PredictionIoBlock(DownloadBlock):
    """PredictionIO on the driver; its version is `pio.version`, its home `pio.home`. Apache has binaries of 0.14.0; of
    the versions before, give the tarball that `make-distribution.sh` makes, or install them yourself."""


class SoftwareBlock(Block):
    """What new machines install, unless their images have it. Spark's options are in the `spark` block. See
    [machines.md](machines.md)."""

    user: UserName = Field(
        default="aml", description="User that Spark runs as on master and workers. Made where it is missing."
    )
    mirrors: list[Mirror] = Field(
        default_factory=lambda: [APACHE],
        min_length=1,
        description="Base addresses, tried in turn, that have the files as Apache's archive has them: http, https or "
        "s3. `pio-tf mirror` fills one.",
    )
    java: JavaBlock | None = Field(default=None, description="Block: Java, as a tarball.")
    hadoop: HadoopBlock = Field(default_factory=HadoopBlock, description="Block: Hadoop's client.")
    hbase: HbaseClientBlock = Field(default_factory=HbaseClientBlock, description="Block: HBase's client.")
    elasticsearch: ElasticsearchClientBlock = Field(
        default_factory=ElasticsearchClientBlock, description="Block: Elasticsearch's configuration."
    )
    pio: PredictionIoBlock = Field(default_factory=PredictionIoBlock, description="Block: PredictionIO.")

    @field_validator("mirrors", mode="after")
    @classmethod
    def _without_a_slash(cls, mirrors: list[str]) -> list[str]:
        return [mirror.rstrip("/") for mirror in mirrors]

    @field_validator("user", mode="after")
    @classmethod
    def _not_root(cls, user: str) -> str:
        if user == "root":
            raise ValueError("must not be root: Spark runs whatever it is sent")
        return user


def check_versions(software: SoftwareBlock, *, pio: Any, spark: Any) -> dict[str, str]:  # noqa: ANN401 - blocks that are read
    """Versions that do not go together: message by dotted name. Both blocks are None where they could not be read."""
    from pio_tf.config.versions import ROWS

    if pio is None:
        return {}
    row = ROWS[pio.version]
    wanted = {
        "spark.version": ("spark", "Spark", spark and spark.version),
        "software.hadoop.version": ("hadoop", "Hadoop", software.hadoop.version),
        "software.hbase.version": ("hbase", "HBase", software.hbase.version),
        "software.elasticsearch.version": ("elasticsearch", "Elasticsearch", software.elasticsearch.version),
    }
    return {
        name: f"PredictionIO {pio.version} goes with {title} {row.lines(component)}, and this is {version}; its row: "
        f"Spark {row.lines('spark')}, Hadoop {row.lines('hadoop')}, HBase {row.lines('hbase')}, "
        f"Elasticsearch {row.lines('elasticsearch')}, Java 8"
        for name, (component, title, version) in wanted.items()
        if version is not None and not row.takes(component, version)
    }
