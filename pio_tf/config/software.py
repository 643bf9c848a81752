"""The ``software`` block: what new machines install, and from where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pio_tf.config.blocks import Block
from pio_tf.config.kinds import DownloadUrl, RemotePath, Sha512, UserName, Version, Words, matching

APACHE = "https://archive.apache.org/dist"
"""Apache's archive, which keeps every release."""

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

    url: DownloadUrl | None = Field(default=None, description="Address of the archive. Default: from `mirrors`.")
    sha512: Sha512 | None = Field(default=None, description=_SHA512)

    @model_validator(mode="after")
    def _checksum_of_a_download(self) -> DownloadBlock:
        if self.url is not None and self.sha512 is None:
            raise ValueError(
                "sha512: is required with url, because machines install nothing unchecked: run `sha512sum FILE`"
            )
        return self


class JavaBlock(DownloadBlock):
    """Java as a tarball, for images whose distribution has no package of Java 8 (Debian), or that cannot reach a
    package source. Without this block: the image's Java, else the package openjdk-8-jre-headless."""

    url: DownloadUrl = Field(description="A .tar.gz of Java 8 for x86-64, such as Eclipse Temurin's.")
    sha512: Sha512 = Field(description=_SHA512)
    version: Words = Field(default="8", description="Name of this Java in /opt/java.")
    home: RemotePath = Field(default="/usr/local/java", description="JAVA_HOME on every machine.")


class ClientBlock(DownloadBlock):
    """A client with a version of its own."""

    version: Version | None = Field(default=None, description="Default: the version that fits `pio.version`.")


class HadoopBlock(ClientBlock):
    """Hadoop's client on the driver. Its home is `hdfs.hadoop_home`."""


class HbaseClientBlock(ClientBlock):
    """HBase's client on the driver. Its home is `hbase.home`."""


class ElasticsearchClientBlock(Block):
    """Elasticsearch on the driver: a directory with only its configuration. Its home is `elasticsearch.home`."""

    version: Version | None = Field(
        default=None,
        description="Version of your Elasticsearch service. Default: a version that fits `pio.version`.",
    )


class PredictionIoBlock(DownloadBlock):
    """PredictionIO on the driver. Its version is `pio.version`, its home `pio.home`. Apache has binaries only of
    0.14.0. For an earlier version, give the tarball that `make-distribution.sh` makes, or install it yourself."""


class SoftwareBlock(Block):
    """What new machines install, unless their images have it. Spark's options are in the `spark` block. See
    [machines.md](machines.md)."""

    user: UserName = Field(
        default="aml", description="User that Spark runs as on master and workers. Created if missing."
    )
    mirrors: list[Mirror] = Field(
        default_factory=lambda: [APACHE],
        min_length=1,
        description="Base addresses (http, https or s3) with the same files as Apache's archive, tried in order. "
        "`pio-tf mirror` fills one.",
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
            raise ValueError("must not be root, because Spark runs any code that it receives")
        return user
