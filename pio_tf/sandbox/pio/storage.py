"""The storages of pio-env.sh, contacted as PredictionIO contacts them. Standard library only.

Elasticsearch is really used. For HBase, there is only PredictionIO's first connection, to ZooKeeper. For HDFS, there is
only the connection to the name node, which PredictionIO makes when it writes a model: `pio status` does not notice a
missing name node. Other types are not contacted.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_SECONDS = 10.0
_NAMES = {"METADATA": "Meta Data", "MODELDATA": "Model Data", "EVENTDATA": "Event Data"}
_REACHED = 400


class JavaException(Exception):
    """An exception of PredictionIO; ``kind`` is its class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotConfigured(Exception):
    """A missing setting in pio-env.sh; the message ends with "Aborting."."""


class StorageSource(NamedTuple):
    """A source: ``PIO_STORAGE_SOURCES_<name>_*``."""

    name: str
    type: str
    settings: Mapping[str, str]

    @property
    def description(self) -> str:
        """The source as `pio status` prints it, password included."""
        configuration = ", ".join(f"{key} -> {value}" for key, value in self.settings.items())
        return f"Source Name: {self.name}; Type: {self.type}; Configuration: {configuration}"


class StorageRepository(NamedTuple):
    """A repository: ``PIO_STORAGE_REPOSITORIES_<id>_*``."""

    id: str
    name: str
    source: StorageSource

    @property
    def label(self) -> str:
        """Its name in messages."""
        return _NAMES[self.id]


def find_source(name: str, environ: Mapping[str, str]) -> StorageSource:
    """Return a source.

    Raises:
        NotConfigured: there is no source with this name.
    """
    prefix = f"PIO_STORAGE_SOURCES_{name}_"
    settings = {key[len(prefix) :]: value for key, value in sorted(environ.items()) if key.startswith(prefix)}
    if not settings.get("TYPE"):
        raise NotConfigured(f"Undefined storage source {name}: {prefix}TYPE is not set. Aborting.")
    return StorageSource(name, settings["TYPE"], settings)


def find_repository(identifier: str, environ: Mapping[str, str]) -> StorageRepository:
    """Return METADATA, MODELDATA or EVENTDATA.

    Raises:
        NotConfigured: the repository or its source is not configured.
    """
    values = {}
    for key in ("NAME", "SOURCE"):
        variable = f"PIO_STORAGE_REPOSITORIES_{identifier}_{key}"
        values[key] = environ.get(variable, "")
        if not values[key]:
            raise NotConfigured(f"{variable} is not set. Aborting.")
    return StorageRepository(identifier, values["NAME"], find_source(values["SOURCE"], environ))


class Elasticsearch:
    """Elasticsearch over REST: the first node that answers."""

    def __init__(self, source: StorageSource) -> None:
        hosts = source.settings.get("HOSTS", "localhost").split(",")
        ports = source.settings.get("PORTS", "9200").split(",")
        schemes = source.settings.get("SCHEMES", "http").split(",")
        self._nodes = list(zip(hosts, map(int, ports), schemes))  # noqa: B905 - as PredictionIO: the shortest list wins
        self._headers = {"Content-Type": "application/json"}
        if "USERNAME" in source.settings or "PASSWORD" in source.settings:
            pair = f"{source.settings.get('USERNAME', '')}:{source.settings.get('PASSWORD', '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()

    def ask(self, method: str, path: str, body: object = None, *, missing: bool = False) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of the answer; with ``missing``, None for a 404.

        Raises:
            JavaException: no node answers, or one refuses the request.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        failure = JavaException("java.io.IOException", "no node is configured")
        for host, port, scheme in self._nodes:
            connect = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            try:
                with closing(connect(host, port, timeout=_TIMEOUT_SECONDS)) as connection:
                    connection.request(method, path, body=data, headers=self._headers)
                    response = connection.getresponse()
                    text = response.read()
            except (OSError, http.client.HTTPException) as error:
                failure = java_exception(error)
                continue
            if response.status == http.HTTPStatus.NOT_FOUND and missing:
                return None
            if response.status >= _REACHED:
                status = f"HTTP/1.1 {response.status} {response.reason}"
                reason = f"{method} {scheme}://{host}:{port}{path}: {status}\n{text.decode(errors='replace')}"
                raise JavaException("org.elasticsearch.client.ResponseException", reason)
            return json.loads(text or b"true")
        raise failure

    def make_index(self, name: str, body: object = None) -> None:
        """Create an index, unless it exists.

        Raises:
            JavaException: as :meth:`ask`.
        """
        if self.ask("HEAD", f"/{name}", missing=True) is None:
            self.ask("PUT", f"/{name}", body or {})


def java_exception(error: Exception) -> JavaException:
    """Return Java's exception for a failed connection."""
    if isinstance(error, ConnectionRefusedError):
        return JavaException("java.net.ConnectException", "Connection refused")
    if isinstance(error, TimeoutError):
        return JavaException("java.net.SocketTimeoutException", "connect timed out")
    if isinstance(error, socket.gaierror):
        return JavaException("java.net.UnknownHostException", "Name or service not known")
    return JavaException("java.io.IOException", str(error))


def open_source(repository: StorageRepository, environ: Mapping[str, str]) -> None:
    """Open a repository's source as PredictionIO does.

    Raises:
        JavaException: the source is unreachable.
    """
    source = repository.source
    if source.type == "elasticsearch":
        service = Elasticsearch(source)
        kinds = ("apps", "accesskeys", "channels", "engine_instances", "evaluation_instances", "sequences")
        for kind in kinds if repository.id == "METADATA" else ():
            service.make_index(f"{repository.name}_{kind}")
        service.ask("HEAD", "/")
    elif source.type == "hbase":
        settings = _hadoop_settings(environ.get("HBASE_CONF_DIR", ""), "hbase-site.xml")
        quorum = settings.get("hbase.zookeeper.quorum", "localhost")
        port = int(settings.get("hbase.zookeeper.property.clientPort", "2181"))
        if not any(_accepts(host.strip(), port) for host in quorum.split(",")):
            raise JavaException("org.apache.hadoop.hbase.ZooKeeperConnectionException", quorum)


def name_node_failure(environ: Mapping[str, str]) -> str:
    """Return why no model can be written to HDFS; empty if a name node of Hadoop's files accepts connections."""
    directory = environ.get("HADOOP_CONF_DIR", "")
    settings = {**_hadoop_settings(directory, "core-site.xml"), **_hadoop_settings(directory, "hdfs-site.xml")}
    url = urlsplit(settings.get("fs.defaultFS", "file:///"))
    ids = settings.get(f"dfs.ha.namenodes.{url.netloc}", "")
    nodes = [settings.get(f"dfs.namenode.rpc-address.{url.netloc}.{one}", "") for one in ids.split(",") if one]
    addresses = [urlsplit(f"//{node}") for node in nodes] or [url]
    if url.scheme != "hdfs" or any(_accepts(one.hostname or "localhost", one.port or 8020) for one in addresses):
        return ""
    reason = "failed on connection exception: java.net.ConnectException: Connection refused"
    return f"Call From {socket.gethostname()} to {url.netloc} {reason}"


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def _hadoop_settings(directory: str, name: str) -> dict[str, str]:
    """Return the properties of a Hadoop configuration file; none if the file is missing."""
    path = Path(directory, name)
    if not directory or not path.is_file():
        return {}
    import xml.etree.ElementTree as ET

    properties = ET.parse(path).getroot().iter("property")  # noqa: S314 - the driver's own file
    return {one.findtext("name", "").strip(): one.findtext("value", "").strip() for one in properties}


class EngineInstances:
    """The metadata of trainings, as PredictionIO 0.14 stores it in Elasticsearch: index ``NAME_engine_instances``."""

    TYPE = "engine_instances"

    def __init__(self, repository: StorageRepository) -> None:
        self._service = Elasticsearch(repository.source)
        self._index = f"{repository.name}_{self.TYPE}"

    def insert(self, instance: Mapping[str, object]) -> str:
        """Write a new instance and return its id.

        Raises:
            JavaException: Elasticsearch does not answer, or refuses.
        """
        properties: dict[str, object] = {name: {"type": "date"} for name in ("startTime", "endTime")}
        properties["status"] = {"type": "keyword"}
        self._service.make_index(self._index, {"mappings": {self.TYPE: {"properties": properties}}})
        # Like PredictionIO, write an empty document first to get an id.
        identifier = str(self._service.ask("POST", f"/{self._index}/{self.TYPE}?refresh=true", {})["_id"])
        self.update({**instance, "id": identifier})
        return identifier

    def update(self, instance: Mapping[str, object]) -> None:
        """Overwrite an instance.

        Raises:
            JavaException: Elasticsearch does not answer, or refuses.
        """
        self._service.ask("PUT", f"{self.path(instance)}?refresh=true", instance)

    def path(self, instance: Mapping[str, object]) -> str:
        """Return the path of an instance."""
        return f"/{self._index}/{self.TYPE}/{instance['id']}"


def hot_swap(alias: str, kind: str, items: Sequence[Mapping[str, object]], environ: Mapping[str, str]) -> str:
    """Write the model to a new index, point the alias to it as the Universal Recommender does, and return its name.

    Raises:
        JavaException: Elasticsearch does not answer, or refuses, or no repository uses the source ELASTICSEARCH.
    """
    used = {find_repository(one, environ).source.name for one in _NAMES}
    if "ELASTICSEARCH" not in used:
        message = (
            "No Elasticsearch client configuration detected, check your pio-env.sh forproper configuration settings"
        )
        raise JavaException("java.lang.IllegalStateException", message)
    service = Elasticsearch(find_source("ELASTICSEARCH", environ))
    new = f"{alias}_{time.time_ns() // 1_000_000}"
    fields = sorted({name for item in items for name in item})
    properties = {name: {"type": "keyword"} for name in [*fields, "last"]}
    service.make_index(new, {"mappings": {kind: {"properties": properties}}})
    service.ask("POST", f"/{new}/_refresh")
    lines = [line for item in items for line in ({"index": {"_id": item["id"]}}, item)]
    service.ask("POST", f"/{new}/{kind}/_bulk", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    old = list(service.ask("GET", f"/_alias/{alias}", missing=True) or ())
    actions = [{"add": {"index": new, "alias": alias}}, *({"remove_index": {"index": index}} for index in old[:1])]
    service.ask("POST", "/_aliases", {"actions": actions})
    for index in old:
        if service.ask("HEAD", f"/{index}", missing=True) is not None:
            service.ask("DELETE", f"/{index}")
    return new
