"""What each machine installs: ``Config`` -> components, with versions, checksums and the addresses to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.config.software import APACHE
from pio_tf.config.storage import ElasticsearchBlock, HbaseBlock, HdfsBlock
from pio_tf.config.versions import PINS, ROWS, archive_path

if TYPE_CHECKING:
    from pio_tf.config.schema import Config


@dataclass(frozen=True)
class Component:
    """Something that is installed in /opt/NAME/VERSION, with a link at ``home``."""

    name: str
    version: str
    home: str
    path: str
    """Below a mirror's base address; empty: nothing is fetched."""
    sha512: str
    """128 digits; else the address where Apache publishes it."""
    urls: tuple[str, ...]
    """In the order in which they are tried."""
    url: str = ""
    """The one that pio-tf.hcl gives for it; empty: Apache's archive has it."""

    @property
    def pinned(self) -> bool:
        """Whether its checksum is known beforehand."""
        return not self.sha512.startswith("https://")


def components(config: Config) -> tuple[Component, ...]:
    """All that the driver installs; the Spark machines install Java and Spark of it."""
    software, defaults = config.software, ROWS[config.pio.version].defaults
    spark = config.spark
    found = []
    if software.java is not None:
        java = software.java
        found.append(_component(config, "java", java.version, java.home, java.url, java.sha512))
    version = spark_version(config)
    found.append(_component(config, "spark", version, spark.home, spark.download_url, spark.download_sha512))
    blocks = [source.block for source in config.sources]
    hdfs = next((block for block in blocks if isinstance(block, HdfsBlock)), None)
    if hdfs is not None:
        one = software.hadoop
        version = one.version or defaults["hadoop"]
        found.append(_component(config, "hadoop", version, hdfs.hadoop_home, one.url, one.sha512))
    hbase = next((block for block in blocks if isinstance(block, HbaseBlock)), None)
    if hbase is not None:
        client = software.hbase
        version = client.version or defaults["hbase"]
        found.append(_component(config, "hbase", version, hbase.home, client.url, client.sha512))
    search = find_elasticsearch(config)
    if search is not None:
        version = software.elasticsearch.version or defaults["elasticsearch"]
        found.append(Component("elasticsearch", version, search.home, path="", sha512="-", urls=()))
    pio = software.pio
    if pio.url is not None or ROWS[config.pio.version].has_binaries:
        found.append(_component(config, "pio", config.pio.version, config.pio.home, pio.url, pio.sha512))
    return tuple(found)


def spark_version(config: Config) -> str:
    """The Spark that machines install."""
    return config.spark.version or ROWS[config.pio.version].defaults["spark"]


def find_elasticsearch(config: Config) -> ElasticsearchBlock | None:
    """The Elasticsearch over REST whose configuration the driver gets."""
    blocks = [source.block for source in config.sources]
    return next((block for block in blocks if isinstance(block, ElasticsearchBlock)), None)


def _component(config: Config, name: str, version: str, home: str, url: str | None, sha512: str | None) -> Component:
    mirrors = config.software.mirrors
    if url is None:
        path = archive_path(name, version)
        urls = tuple(f"{mirror}/{path}" for mirror in mirrors)
    else:
        path = f"{name}/{version}/{url.rstrip('/').rpartition('/')[2]}"
        # A mirror of the user's own has what `pio-tf mirror` has put there; Apache's archive has not.
        urls = (*(f"{mirror}/{path}" for mirror in mirrors if mirror != APACHE), url)
    checksum = sha512 or (PINS.get(path) if url is None else None) or f"{APACHE}/{path}.sha512"
    return Component(name, version, home, path, checksum, urls, url or "")
