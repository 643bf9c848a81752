"""The stores of PredictionIO's data: existing services, which the cluster only connects to.

A block is what PredictionIO calls a source. The blocks ``elasticsearch``, ``hbase`` and ``hdfs`` are the sources of the
guide's layout, named ELASTICSEARCH, HBASE and HDFS. ``source "NAME" { type = … }`` is any other source.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias, Union, get_args

from msgspec import Struct
from pydantic import Field, model_validator

from pio_tf.config.blocks import Block
from pio_tf.config.kinds import (
    ElasticsearchHost,
    HdfsPath,
    Host,
    JavaUrl,
    JdbcUrl,
    NameNode,
    Nameservice,
    Port,
    PropertyName,
    PropertyValue,
    Region,
    RemotePath,
    S3Path,
    Secret,
    UriHost,
    Words,
    ZnodePath,
)
from pio_tf.config.uri_hosts import find_bad_host

if TYPE_CHECKING:
    from collections.abc import Mapping

_RPC = "dfs.namenode.rpc-address"
_FAILOVER = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
_NAME_NODES = 2
"""With fewer, Hadoop's client does not take the nameservice for one with failover."""
_NODE = re.compile(r"(?:(https?)://)?([^:/]+)(?::(\d+))?/?")
_REST_PORT, _TRANSPORT_PORT = 9200, 9300
_LAST_PORT = 65535


class Naming(Struct, frozen=True):
    """The rule for a repository's name in a source: a pattern, and the same in words."""

    pattern: str
    wanted: str


_INDEX = Naming(r"[a-z0-9][a-z0-9_.-]{0,99}", "lower-case letters, digits, _ . and -: index names start with it")
_NAMESPACE = Naming(r"[A-Za-z0-9_]{1,100}", "letters, digits and _: it names an HBase namespace")
_TABLE = Naming(r"[A-Za-z_]\w{0,39}", "at most 40 letters, digits and _, the first no digit: table names start with it")
_FILE = Naming(r"[A-Za-z0-9_.-]{1,100}", "letters, digits, _ . and -: file names start with it")


class StorageBlock(Block):
    """A source."""

    pio_type: ClassVar[str]
    """PIO_STORAGE_SOURCES_NAME_TYPE."""
    holds: ClassVar[tuple[str, ...]]
    """The repositories that PredictionIO can store in it."""
    naming: ClassVar[Naming]
    """The rule for a repository's NAME in it."""


def _check_properties(option: str, properties: Mapping[str, str], options: Mapping[str, str]) -> None:
    """Refuse properties that have an option of their own, and addresses in which Java finds no host."""
    for name, value in properties.items():
        if name in options:
            raise ValueError(f"{option}.{name}: pio-tf writes this property; set {options[name]} instead")
        if bad := find_bad_host(name, value):
            raise ValueError(f"{option}.{name}: Java finds no host in {bad}")


class ElasticsearchNode(Struct, frozen=True):
    """The REST address of an Elasticsearch node."""

    host: str
    port: int
    scheme: Literal["http", "https"]


class ElasticsearchBlock(StorageBlock):
    """Your Elasticsearch, for metadata and the model of the Universal Recommender."""

    pio_type: ClassVar[str] = "elasticsearch"
    holds: ClassVar[tuple[str, ...]] = ("metadata", "eventdata")
    naming: ClassVar[Naming] = _INDEX

    hosts: list[ElasticsearchHost] = Field(
        min_length=1, description='Nodes: `"host"`, `"host:port"` or `"https://host:port"`.'
    )
    port: Port = Field(
        default=_REST_PORT, description="REST port of the hosts without one (PredictionIO 0.12 and later use REST)."
    )
    scheme: Literal["http", "https"] = Field(default="http", description="http or https, for hosts without a scheme.")
    user: Words | None = Field(default=None, description="User, if Elasticsearch requires one (basic auth).")
    password: Secret | None = Field(default=None, description="Password of that user.")
    cluster_name: Words = Field(default="elasticsearch", description="cluster.name of Elasticsearch.")
    home: RemotePath = Field(default="/usr/local/elasticsearch", description="Elasticsearch's directory on the driver.")

    @property
    def nodes(self) -> tuple[ElasticsearchNode, ...]:
        """Every host, with its own port and scheme or the block's."""
        return tuple(self._node(host) for host in self.hosts)

    def _node(self, text: str) -> ElasticsearchNode:
        match = _NODE.fullmatch(text)
        if match is None:
            raise ValueError(f"hosts: {text} is not a host")
        scheme: Literal["http", "https"] = self.scheme
        if match[1]:
            scheme = "https" if match[1] == "https" else "http"
        return ElasticsearchNode(match[2], int(match[3] or self.port), scheme)

    @model_validator(mode="after")
    def _reachable(self) -> ElasticsearchBlock:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        for host, node in zip(self.hosts, self.nodes, strict=True):
            if node.port > _LAST_PORT:
                raise ValueError(f"hosts: {host}: a port is at most {_LAST_PORT}")
            if node.port == _TRANSPORT_PORT:
                raise ValueError(
                    f"{'port' if self.port == _TRANSPORT_PORT else 'hosts'}: {_TRANSPORT_PORT} is the port of the "
                    f"transport client; PredictionIO 0.12 and later use REST, on port {_REST_PORT}"
                )
        return self


class HbaseBlock(StorageBlock):
    """Your HBase, for events. It stores its files in HDFS, so it requires the `hdfs` block."""

    pio_type: ClassVar[str] = "hbase"
    holds: ClassVar[tuple[str, ...]] = ("eventdata",)
    naming: ClassVar[Naming] = _NAMESPACE

    hosts: list[Host] = Field(min_length=1, description="HBase masters, for pio-env.sh.")
    zookeeper_quorum: list[Host] = Field(
        default=[], description="ZooKeeper hosts, for hbase-site.xml. Default: `hosts`."
    )
    zookeeper_port: Port = Field(default=2181, description="Client port of ZooKeeper.")
    znode_parent: ZnodePath | None = Field(
        default=None, description="zookeeper.znode.parent. Default: HBase's own, `/hbase`."
    )
    hbase_site: dict[PropertyName, PropertyValue] = Field(
        default={}, description='More properties for hbase-site.xml, such as `"hbase.rootdir"`.'
    )
    home: RemotePath = Field(default="/usr/local/hbase", description="HBase's directory on the driver.")

    @model_validator(mode="after")
    def _no_properties_of_options(self) -> HbaseBlock:
        options = {
            "hbase.zookeeper.quorum": "zookeeper_quorum",
            "hbase.zookeeper.property.clientPort": "zookeeper_port",
            "zookeeper.znode.parent": "znode_parent",
        }
        _check_properties("hbase_site", self.hbase_site, options)
        return self


class HdfsBlock(StorageBlock):
    """Your HDFS, for model data, HBase's files and Spark's event log."""

    pio_type: ClassVar[str] = "hdfs"
    holds: ClassVar[tuple[str, ...]] = ("modeldata",)
    naming: ClassVar[Naming] = _FILE

    namenode: UriHost | None = Field(default=None, description="Host of the name node. Required without `nameservice`.")
    port: Port = Field(default=9000, description="Port of the name node, and of the `namenodes` without one.")
    nameservice: Nameservice | None = Field(
        default=None,
        description="HDFS with several name nodes (HA): the nameservice, instead of `namenode`.",
    )
    namenodes: list[NameNode] = Field(
        default=[],
        description='Name nodes of the nameservice: `"host"` or `"host:port"` (RPC).',
    )
    core_site: dict[PropertyName, PropertyValue] = Field(default={}, description="More properties for core-site.xml.")
    hdfs_site: dict[PropertyName, PropertyValue] = Field(default={}, description="More properties for hdfs-site.xml.")
    models_path: HdfsPath = Field(default="/models", description="Directory in HDFS for models.")
    hadoop_home: RemotePath = Field(default="/usr/local/hadoop", description="Hadoop's directory on the driver.")

    @property
    def url(self) -> str:
        """The file system: ``hdfs://nn:9000``, or ``hdfs://mycluster``, which has no port."""
        return f"hdfs://{self.nameservice}" if self.nameservice else f"hdfs://{self.namenode}:{self.port}"

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each name node."""
        nodes = self.namenodes if self.nameservice else [str(self.namenode)]
        return tuple((host, int(port or self.port)) for host, _, port in (node.partition(":") for node in nodes))

    @property
    def nameservice_properties(self) -> dict[str, str]:
        """The properties with which a client finds the active name node; none without a nameservice."""
        if self.nameservice is None:
            return {}
        ids = {f"nn{number}": address for number, address in enumerate(self.addresses, start=1)}
        return {
            "dfs.nameservices": self.nameservice,
            f"dfs.ha.namenodes.{self.nameservice}": ",".join(ids),
            **{f"{_RPC}.{self.nameservice}.{name}": f"{host}:{port}" for name, (host, port) in ids.items()},
            f"dfs.client.failover.proxy.provider.{self.nameservice}": _FAILOVER,
        }

    @model_validator(mode="after")
    def _one_way_to_the_name_node(self) -> HdfsBlock:
        if self.nameservice is None and self.namenodes:
            raise ValueError("namenodes: are those of a nameservice; name it with nameservice, or give one namenode")
        if self.nameservice is None and self.namenode is None:
            raise ValueError("namenode: is required, or nameservice with its namenodes")
        if self.nameservice is not None and self.namenode is not None:
            raise ValueError("namenode: give namenode, or nameservice with its namenodes, not both")
        if self.nameservice is not None and len(self.namenodes) < _NAME_NODES:
            raise ValueError(f"namenodes: a nameservice has at least {_NAME_NODES}, got {len(self.namenodes)}")
        for host, port in self.addresses:
            if port > _LAST_PORT:
                raise ValueError(f"namenodes: {host}:{port}: a port is at most {_LAST_PORT}")
        return self

    @model_validator(mode="after")
    def _no_properties_of_options(self) -> HdfsBlock:
        address = "nameservice" if self.nameservice else "namenode"
        _check_properties("core_site", self.core_site, dict.fromkeys(("fs.defaultFS", "fs.default.name"), address))
        ours = self.nameservice_properties
        services = self.hdfs_site.get("dfs.nameservices", self.nameservice or "")
        if self.nameservice and self.nameservice not in services.split(","):
            raise ValueError(
                f"hdfs_site.dfs.nameservices: must contain {self.nameservice}, the nameservice of this block"
            )
        fixed = [name for name in ours if name.startswith((f"{_RPC}.", "dfs.ha.namenodes."))]
        _check_properties("hdfs_site", self.hdfs_site, dict.fromkeys(fixed, "namenodes"))
        return self


class ElasticsearchSource(ElasticsearchBlock):
    """Elasticsearch 5 and 6, over REST: metadata and events. It has the options of the `elasticsearch` block."""

    type: Literal["elasticsearch"] = Field(description="This type.")


class Elasticsearch1Source(StorageBlock):
    """Elasticsearch 1.x, over its transport client: metadata.

    PredictionIO must be compiled for it (`-Delasticsearch.version=1.7.6`), and then supports no other.
    """

    pio_type: ClassVar[str] = "elasticsearch"  # both live in the same Scala package; the build chooses one
    holds: ClassVar[tuple[str, ...]] = ("metadata",)
    naming: ClassVar[Naming] = _INDEX

    type: Literal["elasticsearch1"] = Field(description="This type.")
    hosts: list[Host] = Field(min_length=1, description="Host names or addresses of the nodes.")
    port: Port = Field(default=_TRANSPORT_PORT, description="Port of the transport client.")
    cluster_name: Words = Field(
        default="elasticsearch", description="cluster.name of Elasticsearch. The transport client refuses another name."
    )
    home: RemotePath = Field(default="/usr/local/elasticsearch", description="Elasticsearch's directory on the driver.")

    @model_validator(mode="after")
    def _reachable(self) -> Elasticsearch1Source:
        if self.port == _REST_PORT:
            raise ValueError(f"port: {_REST_PORT} is the REST port; the transport client uses {_TRANSPORT_PORT}")
        return self


class HbaseSource(HbaseBlock):
    """HBase: events. It has the options of the `hbase` block."""

    type: Literal["hbase"] = Field(description="This type.")


class HdfsSource(HdfsBlock):
    """HDFS: model data. It has the options of the `hdfs` block."""

    type: Literal["hdfs"] = Field(description="This type.")


class LocalfsSource(StorageBlock):
    """A directory on the driver: model data.

    Nothing copies the models to the prediction server. Use it for engines that store their model elsewhere, as the
    Universal Recommender does in Elasticsearch.
    """

    pio_type: ClassVar[str] = "localfs"
    holds: ClassVar[tuple[str, ...]] = ("modeldata",)
    naming: ClassVar[Naming] = _FILE

    type: Literal["localfs"] = Field(description="This type.")
    path: RemotePath = Field(
        default="~/.pio_store/models", description="The directory. The prediction server cannot see it."
    )


class JdbcSource(StorageBlock):
    """PostgreSQL or MySQL: metadata, events and model data."""

    pio_type: ClassVar[str] = "jdbc"
    holds: ClassVar[tuple[str, ...]] = ("metadata", "eventdata", "modeldata")
    naming: ClassVar[Naming] = _TABLE

    type: Literal["jdbc"] = Field(description="This type.")
    url: JdbcUrl = Field(description='URL of the database, like `"jdbc:postgresql://db-1:5432/pio"`.')
    user: Words = Field(description="User of the database.")
    password: Secret = Field(description="Password of that user.")
    driver_jar: RemotePath = Field(
        description="Jar of the JDBC driver on the driver machine: POSTGRES_JDBC_DRIVER or MYSQL_JDBC_DRIVER."
    )
    connections: int = Field(default=8, ge=1, description="Highest number of connections that PredictionIO opens.")
    partitions: int = Field(default=4, ge=1, description="Number of partitions in which Spark reads the events.")

    @property
    def driver_variable(self) -> str:
        """The variable in pio-env.sh that names the JDBC driver's jar."""
        return "POSTGRES_JDBC_DRIVER" if self.url.startswith("jdbc:postgresql:") else "MYSQL_JDBC_DRIVER"

    @model_validator(mode="after")
    def _no_password_in_the_url(self) -> JdbcSource:
        if re.search(r"password=|//[^/?]*:[^/?]*@", self.url, re.IGNORECASE):
            raise ValueError("url: contains a password; remove it and set password = …")
        return self


class S3Source(StorageBlock):
    """S3: model data."""

    pio_type: ClassVar[str] = "s3"
    holds: ClassVar[tuple[str, ...]] = ("modeldata",)
    naming: ClassVar[Naming] = _FILE

    type: Literal["s3"] = Field(description="This type.")
    bucket: Words = Field(description="Bucket.")
    base_path: S3Path | None = Field(default=None, description="Prefix of the models' keys.")
    region: Region | None = Field(
        default=None, description="Region of the bucket. Required with PredictionIO 0.12.1 and 0.13.0."
    )
    endpoint: JavaUrl | None = Field(default=None, description="Address of another S3 API. Requires `region`.")
    profile: Words | None = Field(
        default=None,
        description="Profile of ~/.aws/credentials on the driver. Required with PredictionIO 0.12.1 and 0.13.0, which "
        "do not support instance roles. It must exist already: pio-tf writes no credentials to the driver.",
    )

    @model_validator(mode="after")
    def _endpoint_has_a_region(self) -> S3Source:
        if self.endpoint is not None and self.region is None:
            raise ValueError("endpoint: PredictionIO ignores it without region; give both")
        return self


AnySource: TypeAlias = Annotated[
    Union[  # noqa: UP007 - pydantic evaluates it
        ElasticsearchSource, Elasticsearch1Source, HbaseSource, HdfsSource, LocalfsSource, JdbcSource, S3Source
    ],
    Field(discriminator="type"),
]
SOURCE_TYPES: dict[str, type[StorageBlock]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(AnySource)[0])
}
"""The models of ``source`` blocks, by their type."""
