"""The ``software`` block: what new machines install, from where, and which versions fit PredictionIO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct
from pydantic import Field, field_validator, model_validator

from pio_tf.config.blocks import Block
from pio_tf.config.kinds import (
    DownloadUrl,
    FreeText,
    LocalPath,
    Matching,
    NoProxy,
    ProxyUrl,
    RemotePath,
    Sha512,
    UserName,
    Version,
    Words,
)

if TYPE_CHECKING:
    from pio_tf.config.blocks import PioBlock, SparkBlock

APACHE = "https://archive.apache.org/dist"
"""Apache's archive, which keeps every release."""

_SHA512 = "SHA-512 of that file."

Line = tuple[int, int]
"""Major and minor version: (2, 4) stands for all of 2.4.x."""
JAVA = 8
"""Every version of PredictionIO needs this Java."""
TEMURIN_VERSION = "8u502-b07"
TEMURIN_URL = (
    "https://github.com/adoptium/temurin8-binaries/releases/download/jdk8u502-b07/"
    "OpenJDK8U-jre_x64_linux_hotspot_8u502b07.tar.gz"
)
TEMURIN_SHA256 = "f1a7bea0804bfa5627dac412fe7a0d751c4228592e356d6a32a30da54a48ed7a"
"""The JRE that `java {}` installs, and the SHA-256 that its maker publishes (there is no SHA-512 of it): ESUM in
8/jre/ubuntu/jammy/Dockerfile of github.com/adoptium/containers, from which the official image eclipse-temurin is built,
at commit d8d18d67 of 2026-08-05."""
_TITLES = {"spark": "Spark", "hadoop": "Hadoop", "hbase": "HBase", "elasticsearch": "Elasticsearch"}


class Compatibility(Struct, frozen=True):
    """The versions that fit one version of PredictionIO. A range has its first and its last line."""

    spark: tuple[Line, Line]
    hadoop: tuple[Line, Line]
    hbase: tuple[Line, Line]
    elasticsearch: tuple[tuple[Line, Line], ...]
    defaults: dict[str, str]
    """The version of each component that a machine gets if pio-tf.hcl names none."""
    spark_of_own_build: str
    """The Spark that a machine gets with a PredictionIO of your own that does not say what it was built for."""
    has_binaries: bool
    """True if Apache publishes a binary distribution, which is built for the Spark of ``defaults``. Before 0.14.0, you
    make one with `make-distribution.sh`."""

    @property
    def elasticsearch_majors(self) -> tuple[int, ...]:
        """5, or 5 and 6."""
        return tuple(first[0] for first, _ in self.elasticsearch)

    def lines(self, component: str) -> str:
        """Return the lines that fit, for messages: ``2.1 to 2.4``."""
        return " or ".join(_range(*one) for one in self._ranges(component))

    def takes(self, component: str, version: str) -> bool:
        """Return whether a version of a component fits."""
        return any(first <= line_of(version) <= last for first, last in self._ranges(component))

    def _ranges(self, component: str) -> tuple[tuple[Line, Line], ...]:
        return self.elasticsearch if component == "elasticsearch" else (getattr(self, component),)


COMPATIBILITY = {
    "0.12.1": Compatibility(
        spark=((2, 1), (2, 1)),  # the Universal Recommender 0.7, which goes with it, takes no other
        hadoop=((2, 6), (2, 7)),
        hbase=((1, 2), (1, 2)),
        elasticsearch=(((5, 0), (5, 6)),),
        defaults={"spark": "2.1.1", "hadoop": "2.7.3", "hbase": "1.2.6", "elasticsearch": "5.5.2"},
        spark_of_own_build="2.1.1",
        has_binaries=False,
    ),
    "0.13.0": Compatibility(
        spark=((2, 1), (2, 3)),
        hadoop=((2, 6), (2, 7)),
        hbase=((1, 2), (1, 2)),
        elasticsearch=(((5, 0), (5, 6)),),
        defaults={"spark": "2.3.4", "hadoop": "2.7.7", "hbase": "1.2.6", "elasticsearch": "5.5.2"},
        spark_of_own_build="2.3.4",
        has_binaries=False,
    ),
    "0.14.0": Compatibility(
        spark=((2, 1), (2, 4)),
        hadoop=((2, 6), (2, 7)),
        hbase=((1, 2), (1, 2)),
        elasticsearch=(((5, 0), (5, 6)), ((6, 4), (6, 8))),
        defaults={"spark": "2.1.3", "hadoop": "2.7.7", "hbase": "1.2.6", "elasticsearch": "5.6.9"},
        spark_of_own_build="2.4.8",
        has_binaries=True,
    ),
}
"""From PredictionIO's release notes, and the versions that build.sbt and .travis.yml of each release name. Apache's
binary of 0.14.0 is a bare `make-distribution.sh`, and build.sbt's default is Spark 2.1.3."""

_JSON4S_OF_ITS_OWN: Line = (2, 4)
"""The first Spark with a json4s that PredictionIO built for an earlier one cannot call (NoSuchMethodError): build.sbt
takes 3.2.11 up to Spark 2.3, and 3.5.3 with 2.4."""

Mirror = Annotated[
    str,
    Matching(
        r"(https?://[^\s@/]+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^\s]*)?",
        'a base address, like "https://mirror.example.org/apache" or "s3://bucket/prefix", without a password',
        kind="URL",
    ),
    FreeText(published=True),
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
    """Java 8 as a tarball.

    Use it if the image's distribution has no Java 8 (Debian), or if machines reach no package source. An empty block
    (`java {}`) is enough: pio-tf knows the address and the checksum of one build of Eclipse Temurin. Without the block:
    the image's Java, else the package openjdk-8-jre-headless.
    """

    url: DownloadUrl | None = Field(
        default=None,
        description=f"A .tar.gz of Java 8 for x86-64. Default: the JRE of Eclipse Temurin {TEMURIN_VERSION}.",
    )
    sha512: Sha512 | None = Field(default=None, description="SHA-512 of that file. Required with `url`.")
    version: Words | None = Field(
        default=None,
        description=f'Name of this Java in /opt/java. Default: `"{TEMURIN_VERSION}"`, and `"8"` with `url`.',
    )
    home: RemotePath = Field(default="/usr/local/java", description="JAVA_HOME on every machine.")

    @model_validator(mode="after")
    def _no_checksum_of_a_default(self) -> JavaBlock:
        if self.url is None and self.sha512 is not None:
            raise ValueError("sha512: needs url: pio-tf knows the checksum of its own default")
        return self


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
    """PredictionIO on the driver.

    Its version is `pio.version`, its home `pio.home`. Apache has binaries only of 0.14.0, built for Spark 2.1.3. For
    another version, or another Spark, give the tarball that `make-distribution.sh` makes, or install it yourself.
    """

    spark_version: Version | None = Field(
        default=None,
        description="Spark version that your own build is for: that of `make-distribution.sh -Dspark.version=2.4.8`. "
        "Also set it for a build in the driver's image, or one that you install yourself.",
    )

    @property
    def is_own_build(self) -> bool:
        """True if pio-tf.hcl gives a build, or says what an installed one is for."""
        return self.url is not None or self.spark_version is not None


class SoftwareBlock(Block):
    """The software that new machines install, unless their images have it.

    Spark's options are in the `spark` block. See [machines.md](machines.md).
    """

    user: UserName = Field(
        default="aml", description="User that Spark runs as on master and workers. Created if missing."
    )
    mirrors: list[Mirror] = Field(
        default=[APACHE],
        min_length=1,
        description="Base addresses (http, https or s3) with the same files as Apache's archive, tried in order. "
        "`pio-tf mirror` fills one.",
    )
    http_proxy: ProxyUrl | None = Field(
        default=None,
        description="Proxy for http addresses, such as those of packages, while pio-tf's script prepares a machine.",
    )
    https_proxy: ProxyUrl | None = Field(default=None, description="The same for https addresses.")
    no_proxy: list[NoProxy] = Field(
        default=[],
        description="Hosts, domains (`.example.internal`) and addresses that need no proxy, besides the cluster's.",
    )
    extra_bootstrap: LocalPath | None = Field(
        default=None,
        description="Script of yours that every machine runs as root at the end of its first boot, and at each "
        "`pio-tf provision`. See [machines.md](machines.md#a-script-of-your-own).",
    )
    java: JavaBlock | None = Field(default=None, description="Block: Java, as a tarball.")
    hadoop: HadoopBlock = Field(default_factory=HadoopBlock.model_construct, description="Block: Hadoop's client.")
    hbase: HbaseClientBlock = Field(
        default_factory=HbaseClientBlock.model_construct, description="Block: HBase's client."
    )
    elasticsearch: ElasticsearchClientBlock = Field(
        default_factory=ElasticsearchClientBlock.model_construct, description="Block: Elasticsearch's configuration."
    )
    pio: PredictionIoBlock = Field(
        default_factory=PredictionIoBlock.model_construct, description="Block: PredictionIO."
    )

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


def check_versions(software: SoftwareBlock, *, pio: PioBlock | None, spark: SparkBlock | None) -> dict[str, str]:
    """Return messages by dotted name for versions that do not fit PredictionIO.

    Args:
        software: the block.
        pio: its version decides; None: it has mistakes.
        spark: None: it has mistakes.
    """
    if pio is None:
        return {}
    row = COMPATIBILITY[pio.version]
    wanted = {
        "spark.version": ("spark", spark.version if spark else None),
        "software.hadoop.version": ("hadoop", software.hadoop.version),
        "software.hbase.version": ("hbase", software.hbase.version),
        "software.elasticsearch.version": ("elasticsearch", software.elasticsearch.version),
        "software.pio.spark_version": ("spark", software.pio.spark_version),
    }
    all_lines = ", ".join(f"{title} {row.lines(component)}" for component, title in _TITLES.items())
    mistakes = {
        name: f"PredictionIO {pio.version} needs {_TITLES[component]} {row.lines(component)}, got {version}; "
        f"it fits {all_lines}, Java {JAVA}"
        for name, (component, version) in wanted.items()
        if version is not None and not row.takes(component, version)
    }
    built, installed = software.pio.spark_version, spark and spark.version
    if not mistakes and built and installed and not fits_build(installed, built=built):
        mistakes["software.pio.spark_version"] = (
            f"PredictionIO built for Spark {built} does not run on Spark {installed}, which spark.version names: "
            "set both to the Spark that you have built it for"
        )
    return mistakes


def fits_build(spark: str, *, built: str) -> bool:
    """Return whether a version of Spark runs a PredictionIO that was built for another one."""
    lines = line_of(spark), line_of(built)
    return lines[0] == lines[1] or max(lines) < _JSON4S_OF_ITS_OWN


def line_of(version: str) -> Line:
    """Return (2, 4) for ``2.4.8``."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _range(first: Line, last: Line) -> str:
    one, other = ".".join(map(str, first)), ".".join(map(str, last))
    return one if one == other else f"{one} to {other}"
