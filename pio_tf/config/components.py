"""The software of each machine: versions, checksums, and the addresses to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from pio_tf.config.software import (
    APACHE,
    COMPATIBILITY,
    JAVA,
    TEMURIN_SHA256,
    TEMURIN_URL,
    TEMURIN_VERSION,
    fits_build,
    line_of,
)
from pio_tf.config.storage import ElasticsearchBlock, HbaseBlock, HdfsBlock, StorageBlock
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

PINS = {
    # Apache's own .mds of Hadoop 2.7.7, quoted in several public repositories.
    "hadoop/common/hadoop-2.7.7/hadoop-2.7.7.tar.gz": (
        "17c8917211dd4c25f78bf60130a390f9e273b0149737094e45f4ae5c917b1174"
        "b97eb90818c5df068e607835120126281bcc07514f38bd7fd3cb8e9d3db1bdde"
    ),
    # From builds of the Jupyter Docker stacks: their argument spark_checksum.
    "spark/spark-2.4.8/spark-2.4.8-bin-hadoop2.7.tgz": (
        "752c4d4d8fe1d72f5ba01f40d22df35698585bd17ed4749f6065b0039ff40db7"
        "ff8ea87dc0fb5b1ec03871e427a002581ec12f486392b92b88643d4243908e55"
    ),
    # The Jupyter Docker stacks' own Dockerfile of July 2019, and images after it.
    "spark/spark-2.4.3/spark-2.4.3-bin-hadoop2.7.tgz": (
        "e8b7f9e1dec868282cadcad81599038a22f48fb597d44af1b13fcc76b7dacd2a"
        "1caf431f95e394e1227066087e3ce6c2137c4abaf60c60076b78f959074ff2ad"
    ),
    # The same of 2017.
    "spark/spark-2.2.0/spark-2.2.0-bin-hadoop2.7.tgz": (
        "7a186a2a007b2dfd880571f7214a7d329c972510a460a8bdbef9f7f2a8910193"
        "43c020f74b496a61e5aa42bc9e9a79cc99defe5cb3bf8b6f49c07e01b259bc6b"
    ),
}
"""SHA-512 by path below Apache's archive, only of published checksums. For any other file, a machine reads the checksum
that Apache publishes beside it: over https and from Apache itself, whatever mirror the file comes from."""


class Component(Struct, frozen=True):
    """Software that a machine installs in /opt/NAME/VERSION, with a link at ``home``."""

    name: str
    version: str
    home: str
    path: str
    """Path below a mirror's base address. Empty: there is nothing to fetch."""
    sha512: str
    """128 digits, or the address where Apache publishes them. 64 digits: a SHA-256, of pio-tf's own Java only."""
    urls: tuple[str, ...]
    """The addresses to try, in order."""
    url: str = ""
    """The address that pio-tf.hcl gives. Empty: Apache's archive has the file."""

    @property
    def pinned(self) -> bool:
        """True if the checksum is known beforehand."""
        return not self.sha512.startswith("https://")


def components(config: Config) -> tuple[Component, ...]:
    """Return what the driver installs. The Spark machines install Java and Spark of it."""
    software, defaults = config.software, COMPATIBILITY[config.pio.version].defaults
    java, spark, pio = software.java, config.spark, software.pio
    found = []
    if java is not None:
        version = java.version or (TEMURIN_VERSION if java.url is None else str(JAVA))
        digest = TEMURIN_SHA256 if java.url is None else java.sha512
        found.append(_component(config, "java", version, java.home, java.url or TEMURIN_URL, digest))
    version = spark_version(config)
    found.append(_component(config, "spark", version, spark.home, spark.download_url, spark.download_sha512))
    hdfs, hbase, search = find_block(config, HdfsBlock), find_block(config, HbaseBlock), find_elasticsearch(config)
    if hdfs is not None:
        client = software.hadoop
        version = client.version or defaults["hadoop"]
        found.append(_component(config, "hadoop", version, hdfs.hadoop_home, client.url, client.sha512))
    if hbase is not None:
        version = software.hbase.version or defaults["hbase"]
        found.append(_component(config, "hbase", version, hbase.home, software.hbase.url, software.hbase.sha512))
    if search is not None:
        version = software.elasticsearch.version or defaults["elasticsearch"]
        found.append(Component("elasticsearch", version, search.home, path="", sha512="-", urls=()))
    if pio.url is not None or _apache_has_it(config):
        found.append(_component(config, "pio", config.pio.version, config.pio.home, pio.url, pio.sha512))
    return tuple(found)


def archives_in_s3(config: Config) -> tuple[str, ...]:
    """Return the objects in S3 that machines install software from, as ``BUCKET/KEY``, or ``BUCKET/PREFIX/*``."""
    mirrors = tuple(one.rstrip("/") + "/" for one in config.software.mirrors if one.startswith("s3://"))
    own = (one.url for one in components(config) if one.url.startswith("s3://") and not one.url.startswith(mirrors))
    return tuple(dict.fromkeys(one.removeprefix("s3://") for one in (*(f"{mirror}*" for mirror in mirrors), *own)))


def spark_version(config: Config) -> str:
    """Return the version of Spark that machines install: by default the one that their PredictionIO was built for."""
    row, pio = COMPATIBILITY[config.pio.version], config.software.pio
    default = row.spark_of_own_build if pio.is_own_build else row.defaults["spark"]
    return config.spark.version or pio.spark_version or default


def check_new_driver(config: Config) -> None:
    """Refuse to create a driver that would get Apache's binary of PredictionIO with a Spark that cannot run it.

    The image of ``driver.ami`` may have another build: the check ``spark-version`` reads it off the driver.

    Raises:
        ConfigError: naming both versions.
    """
    if not config.driver.image_option:
        check_apaches_binary(config)


def check_apaches_binary(config: Config) -> None:
    """Refuse to install Apache's binary of PredictionIO with a Spark that cannot run it.

    Raises:
        ConfigError: naming both versions.
    """
    if config.software.pio.is_own_build or not COMPATIBILITY[config.pio.version].has_binaries:
        return
    spark, built = spark_version(config), COMPATIBILITY[config.pio.version].defaults["spark"]
    if not fits_build(spark, built=built):
        raise ConfigError(
            f"{config.where('spark.version')}: Apache's binary of PredictionIO {config.pio.version} is built for Spark "
            f"{built}, and does not run on Spark {spark}",
            next_step=spark_pair(config, spark=spark, built=built),
        )


def spark_pair(config: Config, *, spark: str, built: str) -> str:
    """Return how to make a pair of a PredictionIO that was built for one Spark, and another Spark."""
    return (
        f"remove spark.version, or set it to {built}; or build PredictionIO for Spark {spark} (make-distribution.sh "
        f"-Dspark.version={spark}) and name that build in software.pio of {config.where('software.pio')}, with "
        f'spark_version = "{spark}"'
    )


def find_elasticsearch(config: Config) -> ElasticsearchBlock | None:
    """Return the Elasticsearch with REST, which the driver configures."""
    return find_block(config, ElasticsearchBlock)


def archive_path(component: str, version: str) -> str:
    """Return the path of a component below the base address of Apache's archive or of a mirror."""
    if component == "spark":
        line = line_of(version)
        # Built for a client of this Hadoop.
        hadoop = "hadoop2.7" if line < (3, 0) else "hadoop3.2" if line < (3, 3) else "hadoop3"
        return f"spark/spark-{version}/spark-{version}-bin-{hadoop}.tgz"
    if component == "hadoop":
        return f"hadoop/common/hadoop-{version}/hadoop-{version}.tar.gz"
    if component == "hbase":
        return f"hbase/{version}/hbase-{version}-bin.tar.gz"
    return f"predictionio/{version}/apache-predictionio-{version}-bin.tar.gz"


def _apache_has_it(config: Config) -> bool:
    """Return whether Apache's binary of PredictionIO is the one that pio-tf.hcl asks for."""
    row, built = COMPATIBILITY[config.pio.version], config.software.pio.spark_version
    return row.has_binaries and (built is None or fits_build(built, built=row.defaults["spark"]))


_Storage = TypeVar("_Storage", bound=StorageBlock)


def find_block(config: Config, kind: type[_Storage]) -> _Storage | None:
    """Return the first source of a kind. There is at most one HDFS, and at most one HBase."""
    return next((source.block for source in config.sources if isinstance(source.block, kind)), None)


def _component(config: Config, name: str, version: str, home: str, url: str | None, sha512: str | None) -> Component:
    mirrors = config.software.mirrors
    if url is None:
        path = archive_path(name, version)
        urls = tuple(f"{mirror}/{path}" for mirror in mirrors)
    else:
        path = f"{name}/{version}/{url.rstrip('/').rpartition('/')[2]}"
        # `pio-tf mirror` copies this file to the user's own mirrors. Apache's archive does not have it.
        urls = (*(f"{mirror}/{path}" for mirror in mirrors if mirror != APACHE), url)
    checksum = sha512 or (PINS.get(path) if url is None else None) or f"{APACHE}/{path}.sha512"
    return Component(name, version, home, path, checksum, urls, url or "")
