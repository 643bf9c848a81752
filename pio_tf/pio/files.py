"""The configuration files that connect the driver to a cluster.

pio-env.sh has the shape and order of the driver machine guide. PredictionIO *sources* it with bash under ``set -a``:
every value is bash text, and is quoted as such.
"""

from __future__ import annotations

import shlex
from importlib import resources
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from pydantic import SecretStr

from pio_tf.config.components import find_block
from pio_tf.config.environment import hide_secrets
from pio_tf.config.storage import (
    Elasticsearch1Source,
    ElasticsearchBlock,
    HbaseBlock,
    HdfsBlock,
    JdbcSource,
    LocalfsSource,
    S3Source,
)
from pio_tf.pio.command import spark_settings
from pio_tf.pio.secrets import hide_password
from pio_tf.remote.bash import shell_path
from pio_tf.remote.files import RemoteFile
from pio_tf.secret_names import is_secret_argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pio_tf.config.repositories import Source
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import RevealPassword

_TEMPLATE = "pio-env.sh.template"
_LOGGING = "log4j.properties"
_OTHER_LOGS = ("/var/log/predictionio/pio.log", "~/pio.log")
_OWN_DIRECTORY = """own=$(timeout -k 1 10 bash -lc 'echo; echo "$PIO_LOG_DIR"' 2>/dev/null </dev/null | tail -n 1)"""
_TITLES = {
    "elasticsearch": "Elasticsearch",
    "hdfs": "HDFS: model data. The Universal Recommender stores its model in Elasticsearch",
    "hbase": "HBase",
    "localfs": "A directory of this machine. The prediction server cannot read it",
    "jdbc": "A database",
    "s3": "S3",
}
_FIRST_WITH_LENIENT_S3 = "0.14.0"
_AUTHENTICATION = (
    "spark.authenticate",
    "spark.network.crypto.enabled",
    "spark.authenticate.enableSaslEncryption",  # of Spark before 2.2, which ignores the one above
)
_PRIVATE = 0o600
"""Mode of files that may contain secrets: passwords, ``spark.authenticate.secret``, keys of an object store."""


def render_files(
    config: Config, outputs: Outputs, sizing: Sizing, reveal: RevealPassword, *, spark_secret: str = ""
) -> tuple[RemoteFile, ...]:
    """Return the driver's files. The same input gives the same bytes. With ``pio.keep_files``, there are none.

    Args:
        spark_secret: the secret of master and workers; empty: they ask for none.

    Raises:
        ConfigError: a value cannot be written in the file's format.
    """
    if config.pio.keep_files:
        return ()
    fixed = _render_fixed(config, reveal)
    settings = _spark_defaults(config, outputs, sizing, reveal, spark_secret)
    path = f"{config.spark.home}/conf/spark-defaults.conf"
    return (*fixed, RemoteFile("spark-defaults.conf", path, settings, _PRIVATE))


def _render_fixed(config: Config, reveal: RevealPassword) -> tuple[RemoteFile, ...]:
    """Return the files that pio-tf.hcl alone determines."""
    pio_env = render_pio_env(config, reveal)
    files = [
        RemoteFile("pio-env.sh", f"{config.pio.home}/conf/pio-env.sh", pio_env, _PRIVATE),
        RemoteFile(_LOGGING, f"{config.pio.home}/conf/{_LOGGING}", _read(_LOGGING)),
    ]
    hdfs, hbase = find_block(config, HdfsBlock), find_block(config, HbaseBlock)
    if hdfs is not None:
        directory = f"{hdfs.hadoop_home}/etc/hadoop"
        # PredictionIO's `hdfs` source uses the default file system.
        core_site = {"fs.defaultFS": hdfs.url, **hdfs.core_site}
        files.append(_site_file("core-site.xml", directory, core_site, config, reveal))
        if hdfs_site := {**hdfs.nameservice_properties, **hdfs.hdfs_site}:
            files.append(_site_file("hdfs-site.xml", directory, hdfs_site, config, reveal))
        if hbase is not None:
            hbase_site = {
                "hbase.rootdir": f"{hdfs.url}/hbase",
                "hbase.cluster.distributed": "true",
                "hbase.zookeeper.quorum": ",".join(hbase.zookeeper_quorum or hbase.hosts),
                "hbase.zookeeper.property.clientPort": str(hbase.zookeeper_port),
                **({"zookeeper.znode.parent": hbase.znode_parent} if hbase.znode_parent else {}),
                **hbase.hbase_site,
            }
            files.append(_site_file("hbase-site.xml", f"{hbase.home}/conf", hbase_site, config, reveal))
    return tuple(files)


def show_files(config: Config, outputs: Outputs, sizing: Sizing) -> tuple[RemoteFile, ...]:
    """Return the driver's files with stars in place of secrets."""
    return render_files(hide_secrets(config, config.environment_secrets), outputs, sizing, hide_password)


def show_fixed_files(config: Config) -> tuple[RemoteFile, ...]:
    """Return those of :func:`show_files` that do not depend on machines: all but Spark's settings."""
    return _render_fixed(hide_secrets(config, config.environment_secrets), hide_password)


def render_pio_env(config: Config, reveal: RevealPassword) -> str:
    """Return the text of pio-env.sh. It contains the passwords of the sources."""
    repositories = {
        f"{label}_{key}": shlex.quote(value)
        for label, repository in config.repository.all().items()
        for key, value in (("name", repository.name), ("source", repository.source))
    }
    return _read(_TEMPLATE).format(
        homes="".join(f"{name}={value}\n" for name, value in _driver_variables(config).items()),
        fs_basedir=shell_path(config.pio.fs_basedir),
        sources="\n".join(_source(source, reveal, version=config.pio.version) for source in config.sources),
        **repositories,
    )


def remove_logs(config: Config) -> str:
    """Return a bash program that removes PredictionIO's own log, with passwords in it.

    PredictionIO writes it to PIO_LOG_DIR, which a login shell's profile may set, or to the first of the other
    directories that allows it (bin/pio-class). The program prints the removed files to standard output. To standard
    error, it prints those that it may not remove.
    """
    logs = " ".join(shell_path(path) for path in (f"{config.pio.home}/log/pio.log", *_OTHER_LOGS))
    return (
        f'{_OWN_DIRECTORY}; for log in "${{own:+$own/pio.log}}" {logs}; do [ ! -s "$log" ] || '
        '{ rm -f -- "$log" 2>/dev/null && echo "$log"; } || echo "$log" >&2; done'
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _driver_variables(config: Config) -> dict[str, str]:
    """Return the variables that concern the whole driver, as bash text."""
    blocks = [source.block for source in config.sources]
    found = {"SPARK_HOME": shell_path(config.spark.home)}
    for block in blocks:
        if isinstance(block, (ElasticsearchBlock, Elasticsearch1Source)):
            found.setdefault("ES_CONF_DIR", shell_path(block.home))
    if (hdfs := find_block(config, HdfsBlock)) is not None:
        found["HADOOP_CONF_DIR"] = shell_path(f"{hdfs.hadoop_home}/etc/hadoop")
    if (hbase := find_block(config, HbaseBlock)) is not None:
        found["HBASE_CONF_DIR"] = shell_path(f"{hbase.home}/conf")
    for block in blocks:
        if isinstance(block, JdbcSource):
            found[block.driver_variable] = shell_path(block.driver_jar)
        if isinstance(block, S3Source) and block.profile is not None:
            found["AWS_PROFILE"] = shlex.quote(block.profile)
    return found


def _source(source: Source, reveal: RevealPassword, *, version: str) -> str:
    prefix = f"PIO_STORAGE_SOURCES_{source.name}_"
    lines = _source_lines(source, reveal, version=version)
    return "".join(f"{line}\n" if line.startswith("#") or not line else f"{prefix}{line}\n" for line in lines)


def _source_lines(source: Source, reveal: RevealPassword, *, version: str) -> Iterator[str]:
    """Yield comments, empty lines, and ``KEY=value`` in bash text."""
    block = source.block
    yield f"# {_TITLES[type(block).pio_type]}"
    yield f"TYPE={block.pio_type}"
    if isinstance(block, ElasticsearchBlock):
        yield from _elasticsearch(block, reveal)
    elif isinstance(block, Elasticsearch1Source):
        yield from (f"HOME={shell_path(block.home)}", f"CLUSTERNAME={shlex.quote(block.cluster_name)}", "")
        yield "# One entry for each host in both lists. Elasticsearch 1.x uses the transport client (9300)"
        yield from (f"HOSTS={_list(block.hosts)}", f"PORTS={_list(block.port for _ in block.hosts)}")
    elif isinstance(block, HdfsBlock):
        yield f"PATH={shlex.quote(f'{block.url}{block.models_path}')}"
    elif isinstance(block, HbaseBlock):
        yield from (f"HOME={shell_path(block.home)}", "")
        yield "# PredictionIO finds HBase by hbase-site.xml in HBASE_CONF_DIR; these two lines only inform the reader"
        yield from (f"HOSTS={_list(block.hosts)}", f"PORTS={_list(0 for _ in block.hosts)}")
    elif isinstance(block, LocalfsSource):
        yield f"PATH={shell_path(block.path)}"
    elif isinstance(block, JdbcSource):
        yield f"URL={shlex.quote(block.url)}"
        yield from (f"USERNAME={shlex.quote(block.user)}", f"PASSWORD={shlex.quote(reveal(block.password))}")
        yield from (f"CONNECTIONS={block.connections}", f"PARTITIONS={block.partitions}")
    elif isinstance(block, S3Source):
        yield from _s3(block, version=version)


def _elasticsearch(block: ElasticsearchBlock, reveal: RevealPassword) -> Iterator[str]:
    yield f"HOME={shell_path(block.home)}"
    yield "# The cluster.name of Elasticsearch's own configuration"
    yield from (f"CLUSTERNAME={shlex.quote(block.cluster_name)}", "")
    yield (
        "# One entry for each host in all three lists: PredictionIO stops at the end of the shortest. PredictionIO 0.12"
        " and later use REST (9200)"
    )
    yield f"HOSTS={_list(node.host for node in block.nodes)}"
    yield f"PORTS={_list(node.port for node in block.nodes)}"
    yield f"SCHEMES={_list(node.scheme for node in block.nodes)}"
    if block.user is not None and block.password is not None:
        yield from (f"USERNAME={shlex.quote(block.user)}", f"PASSWORD={shlex.quote(reveal(block.password))}")


def _s3(block: S3Source, *, version: str) -> Iterator[str]:
    yield f"BUCKET_NAME={shlex.quote(block.bucket)}"
    optional = {"BASE_PATH": block.base_path, "REGION": block.region, "ENDPOINT": block.endpoint}
    yield from (f"{name}={shlex.quote(value)}" for name, value in optional.items() if value is not None)
    if version != _FIRST_WITH_LENIENT_S3:
        yield f"# Without this, PredictionIO {version} fails with a MatchError before the first model"
        yield "DISABLE_CHUNKED_ENCODING=true"


def _list(values: Iterable[object]) -> str:
    return shlex.quote(",".join(str(value) for value in values))


def _site_file(
    name: str, directory: str, properties: Mapping[str, str], config: Config, reveal: RevealPassword
) -> RemoteFile:
    """Return a configuration file of Hadoop or HBase. It is private if a property is a secret."""
    root = ET.Element("configuration")
    for key, value in _reveal_secrets(properties, reveal).items():
        item = ET.SubElement(root, "property")
        ET.SubElement(item, "name").text = key
        ET.SubElement(item, "value").text = value
    ET.indent(root)
    text = '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
    secret = any(is_secret_argument(key) or _may_be_secret(value, config) for key, value in properties.items())
    return RemoteFile(name, f"{directory}/{name}", text, **({"mode": _PRIVATE} if secret else {}))


def _may_be_secret(value: str, config: Config) -> bool:
    return any(secret in value for secret in config.environment_secrets)


def _reveal_secrets(settings: Mapping[str, str], reveal: RevealPassword) -> dict[str, str]:
    """Return the settings, the secret-named ones as ``reveal`` shows them."""
    return {key: reveal(SecretStr(value)) if is_secret_argument(key) else value for key, value in settings.items()}


def _spark_defaults(config: Config, outputs: Outputs, sizing: Sizing, reveal: RevealPassword, spark_secret: str) -> str:
    r"""Return spark-defaults.conf. Spark reads it as Java properties, in which ``\`` escapes."""
    settings = spark_settings(config, outputs, sizing)
    if spark_secret:
        settings = {**dict.fromkeys(_AUTHENTICATION, "true"), "spark.authenticate.secret": spark_secret, **settings}
    return "".join(f"{key} {_escape(value)}\n" for key, value in _reveal_secrets(settings, reveal).items())


def _escape(value: str) -> str:
    # After the blank that ends the name, Java skips one = or :, too.
    return ("\\" if value.startswith(("=", ":")) else "") + value.replace("\\", "\\\\")
