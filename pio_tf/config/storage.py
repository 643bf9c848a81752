"""Where PredictionIO keeps its data: the services that exist already, which the cluster only connects to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from pio_tf.config.block import Block
from pio_tf.config.kinds import ElasticsearchHost, HdfsPath, Host, Port, RemotePath, Words
from pio_tf.config.secret import Secret

_NODE = re.compile(r"(?:(https?)://)?([^:/]+)(?::(\d+))?/?")
_REST_PORT, _TRANSPORT_PORT = 9200, 9300


@dataclass(frozen=True)
class ElasticsearchNode:
    """Where one node of Elasticsearch answers REST calls."""

    host: str
    port: int
    scheme: Literal["http", "https"]


class ElasticsearchBlock(Block):
    """The Elasticsearch that exists already: metadata, and the model of the Universal Recommender."""

    hosts: list[ElasticsearchHost] = Field(
        min_length=1, description='Its nodes: `"host"`, `"host:port"` or `"https://host:port"`.'
    )
    port: Port = Field(
        default=_REST_PORT, description="REST port of the hosts that name none (PIO 0.12 and later speak REST)."
    )
    scheme: Literal["http", "https"] = Field(default="http", description="http or https, for hosts that name none.")
    user: Words | None = Field(default=None, description="User, where Elasticsearch asks for one (basic auth).")
    password: Secret | None = Field(default=None, description="Password of that user.")
    cluster_name: Words = Field(default="elasticsearch", description="cluster.name of Elasticsearch.")
    home: RemotePath = Field(default="/usr/local/elasticsearch", description="Elasticsearch's directory on the driver.")

    @property
    def nodes(self) -> tuple[ElasticsearchNode, ...]:
        """Every host with its own port and scheme, or else the block's."""
        return tuple(self._node(host) for host in self.hosts)

    def _node(self, text: str) -> ElasticsearchNode:
        match = _NODE.fullmatch(text)
        if match is None:
            raise ValueError(f"not a host: {text}")
        scheme: Literal["http", "https"] = self.scheme
        if match[1]:
            scheme = "https" if match[1] == "https" else "http"
        return ElasticsearchNode(match[2], int(match[3] or self.port), scheme)

    @model_validator(mode="after")
    def _reachable(self) -> ElasticsearchBlock:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        for node in self.nodes:
            if node.port == _TRANSPORT_PORT:
                raise ValueError(
                    f"{'port' if self.port == _TRANSPORT_PORT else 'hosts'}: {_TRANSPORT_PORT} is the port of the "
                    f"transport client; PredictionIO 0.12 and later speak REST, on {_REST_PORT} unless you moved it"
                )
        return self


class HbaseBlock(Block):
    """The HBase that exists already: the events."""

    hosts: list[Host] = Field(min_length=1, description="HBase masters, for pio-env.sh.")
    zookeeper_quorum: list[Host] = Field(
        default_factory=list, description="ZooKeeper hosts. Default: `hosts`. hbase-site.xml carries it."
    )
    zookeeper_port: Port = Field(default=2181, description="Client port of ZooKeeper.")
    home: RemotePath = Field(default="/usr/local/hbase", description="HBase's directory on the driver.")


class HdfsBlock(Block):
    """The HDFS that exists already: model data."""

    namenode: Host = Field(description="Host of the name node.")
    port: Port = Field(default=9000, description="Port of the name node.")
    models_path: HdfsPath = Field(default="/models", description="Directory in HDFS for models.")
    hadoop_home: RemotePath = Field(default="/usr/local/hadoop", description="Hadoop's directory on the driver.")
