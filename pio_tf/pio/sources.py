"""PredictionIO's sources as pio-env.sh has them, and those that other files of the driver are about."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.config.storage import (
    Elasticsearch1Source,
    ElasticsearchBlock,
    HbaseBlock,
    HdfsBlock,
    JdbcSource,
    LocalfsSource,
    S3Source,
)
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pio_tf.config.repositories import Source
    from pio_tf.config.schema import Config
    from pio_tf.pio.secrets import Secrets

_FIRST_WITH_LENIENT_S3 = "0.14.0"


def find_elasticsearch(config: Config) -> ElasticsearchBlock | None:
    """The Elasticsearch over REST that the Universal Recommender keeps its model in: the source ELASTICSEARCH."""
    blocks = [source.block for source in config.sources if source.name == "ELASTICSEARCH"]
    return next((block for block in blocks if isinstance(block, ElasticsearchBlock)), None)


def find_hdfs(config: Config) -> HdfsBlock | None:
    """HDFS, of which there is one at most."""
    return next((source.block for source in config.sources if isinstance(source.block, HdfsBlock)), None)


def find_hbase(config: Config) -> HbaseBlock | None:
    """HBase, of which there is one at most."""
    return next((source.block for source in config.sources if isinstance(source.block, HbaseBlock)), None)


def render_source(source: Source, secrets: Secrets, *, version: str) -> str:
    """The lines of one source in pio-env.sh.

    Args:
        source: which.
        secrets: has the values of its passwords.
        version: PredictionIO's.
    """
    prefix = f"PIO_STORAGE_SOURCES_{source.name}_"
    lines = _settings(source, secrets, version=version)
    return "".join(f"{line}\n" if line.startswith("#") or not line else f"{prefix}{line}\n" for line in lines)


def driver_variables(config: Config) -> dict[str, str]:
    """Variables that a source needs but that stand for the whole driver, as bash text."""
    found: dict[str, str] = {}
    for source in config.sources:
        block = source.block
        if isinstance(block, JdbcSource):
            found[block.driver_variable] = shell_path(block.driver_jar)
        if isinstance(block, S3Source) and block.profile is not None:
            found["AWS_PROFILE"] = shlex.quote(block.profile)
    return found


def _settings(source: Source, secrets: Secrets, *, version: str) -> Iterator[str]:
    """Comments, empty lines, and ``KEY=value`` in bash text."""
    block = source.block
    yield f"# {_TITLES[type(block).pio_type]}"
    yield f"TYPE={block.pio_type}"
    if isinstance(block, ElasticsearchBlock):
        yield from _elasticsearch(block, secrets)
    elif isinstance(block, Elasticsearch1Source):
        yield from _elasticsearch1(block)
    elif isinstance(block, HdfsBlock):
        yield f"PATH={shlex.quote(f'hdfs://{block.namenode}:{block.port}{block.models_path}')}"
    elif isinstance(block, HbaseBlock):
        yield from _hbase(block)
    elif isinstance(block, LocalfsSource):
        yield f"PATH={shell_path(block.path)}"
    elif isinstance(block, JdbcSource):
        yield from _jdbc(block, secrets)
    elif isinstance(block, S3Source):
        yield from _s3(block, version=version)


_TITLES = {
    "elasticsearch": "Elasticsearch",
    "hdfs": "HDFS: model data. The Universal Recommender keeps its model in Elasticsearch",
    "hbase": "HBase",
    "localfs": "A directory of this machine, which the prediction server does not see",
    "jdbc": "A database",
    "s3": "S3",
}


def _elasticsearch(block: ElasticsearchBlock, secrets: Secrets) -> Iterator[str]:
    yield f"HOME={shell_path(block.home)}"
    yield "# The cluster.name of Elasticsearch's own configuration"
    yield f"CLUSTERNAME={shlex.quote(block.cluster_name)}"
    yield ""
    yield (
        "# One entry per host in all three: PredictionIO goes by the shortest list. PredictionIO 0.12 and later speak "
        "REST (9200)"
    )
    yield f"HOSTS={_list(node.host for node in block.nodes)}"
    yield f"PORTS={_list(node.port for node in block.nodes)}"
    yield f"SCHEMES={_list(node.scheme for node in block.nodes)}"
    if block.user is not None and block.password is not None:
        yield f"USERNAME={shlex.quote(block.user)}"
        yield f"PASSWORD={shlex.quote(secrets.reveal(block.password))}"


def _elasticsearch1(block: Elasticsearch1Source) -> Iterator[str]:
    yield f"HOME={shell_path(block.home)}"
    yield f"CLUSTERNAME={shlex.quote(block.cluster_name)}"
    yield ""
    yield "# One entry per host in both. Elasticsearch 1.x is spoken to by the transport client (9300)"
    yield f"HOSTS={_list(block.hosts)}"
    yield f"PORTS={_list(block.port for _ in block.hosts)}"


def _hbase(block: HbaseBlock) -> Iterator[str]:
    yield f"HOME={shell_path(block.home)}"
    yield ""
    yield ("# PredictionIO finds HBase by hbase-site.xml in HBASE_CONF_DIR; these two are for whoever reads this file")
    yield f"HOSTS={_list(block.hosts)}"
    yield f"PORTS={_list(0 for _ in block.hosts)}"


def _jdbc(block: JdbcSource, secrets: Secrets) -> Iterator[str]:
    yield f"URL={shlex.quote(block.url)}"
    yield f"USERNAME={shlex.quote(block.user)}"
    yield f"PASSWORD={shlex.quote(secrets.reveal(block.password))}"
    yield f"CONNECTIONS={block.connections}"
    yield f"PARTITIONS={block.partitions}"


def _s3(block: S3Source, *, version: str) -> Iterator[str]:
    yield f"BUCKET_NAME={shlex.quote(block.bucket)}"
    if block.base_path is not None:
        yield f"BASE_PATH={shlex.quote(block.base_path)}"
    if block.region is not None:
        yield f"REGION={shlex.quote(block.region)}"
    if block.endpoint is not None:
        yield f"ENDPOINT={shlex.quote(block.endpoint)}"
    if version != _FIRST_WITH_LENIENT_S3:
        yield f"# PredictionIO {version} has no case for this one being absent: a MatchError before the first model"
        yield "DISABLE_CHUNKED_ENCODING=true"


def _list(values: Iterable[object]) -> str:
    return shlex.quote(",".join(str(value) for value in values))
