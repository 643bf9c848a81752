"""A pio-env.sh that pio-tf did not write, read back into blocks of pio-tf.hcl. It is read, never run."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.hcl_writer import Value

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ASSIGNMENT = re.compile(rf"({_NAME})=(.*)", re.DOTALL)
_REFERENCE = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})\}})")
_SOURCE = re.compile(r"PIO_STORAGE_SOURCES_([A-Za-z0-9]+)_(\w+)")
_OURS = re.compile(
    r"SPARK_HOME|ES_CONF_DIR|HADOOP_CONF_DIR|HBASE_CONF_DIR|PIO_FS_(BASEDIR|ENGINESDIR|TMPDIR)"
    r"|PIO_STORAGE_REPOSITORIES_(METADATA|EVENTDATA|MODELDATA)_(NAME|SOURCE)"
)
"""Variables that pio-tf writes in any pio-env.sh."""
_ELASTICSEARCH_KEYS = frozenset({"TYPE", "HOME", "CLUSTERNAME", "HOSTS", "PORTS", "SCHEMES"})
_HDFS_KEYS = frozenset({"TYPE", "PATH"})
_HDFS_PATH = re.compile(r"hdfs://([A-Za-z0-9._-]+)(?::(\d+))?(/\S*)")
_TRANSPORT_PORT = "9300"


class ExistingEnv(Struct, frozen=True):
    """The variables of a pio-env.sh.

    Args:
        values: of plain assignments, with earlier variables in place of their names.
        unread: numbers of the lines that are no plain assignments, from 1.
    """

    values: Mapping[str, str]
    unread: tuple[int, ...] = ()

    @property
    def blocks(self) -> dict[str, dict[str, Value]]:
        """The blocks of pio-tf.hcl that say the same, as far as they hold no password."""
        return {name: block for name, block, _ in self._sources()}

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the variables that no block says."""
        said = {name for _, _, names in self._sources() for name in names}
        return tuple(name for name in self.values if not _OURS.fullmatch(name) and name not in said)

    def _sources(self) -> Iterator[tuple[str, dict[str, Value], set[str]]]:
        """Yield a block's name, its options, and the variables that it says."""
        for name, make, keys in (
            ("ELASTICSEARCH", _elasticsearch, _ELASTICSEARCH_KEYS),
            ("HDFS", _hdfs, _HDFS_KEYS),
        ):
            found = {
                match[2]: value
                for variable, value in self.values.items()
                if (match := _SOURCE.fullmatch(variable)) and match[1] == name
            }
            block = make(found) if found.keys() <= keys else None
            if block is not None:
                yield name.lower(), block, {f"PIO_STORAGE_SOURCES_{name}_{key}" for key in found}


def read_env(text: str, *, home: str = "~") -> ExistingEnv:
    """Read a pio-env.sh as bash would, without its commands.

    Args:
        home: the value of ``$HOME``.
    """
    values: dict[str, str] = {}
    unread = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quote that does not end in this line
            unread.append(number)
            continue
        words = words[1:] if words[:1] == ["export"] else words
        assigned = [_ASSIGNMENT.fullmatch(word) for word in words]
        if not all(assigned) or _runs_commands(line):
            unread.append(number)
            continue
        literal = "'" in line
        for match in assigned:
            if match is not None:
                values[match[1]] = match[2] if literal else _expand(match[2], {"HOME": home, **values})
    return ExistingEnv(values, tuple(unread))


def _runs_commands(line: str) -> bool:
    return "$(" in line or "`" in line


def _expand(text: str, values: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def _elasticsearch(found: Mapping[str, str]) -> dict[str, Value] | None:
    """Return the block of an Elasticsearch that PredictionIO talks REST to."""
    if found.get("TYPE") != "elasticsearch":
        return None
    hosts = found.get("HOSTS", "localhost").split(",")
    ports = found.get("PORTS", "9200").split(",")
    schemes = found.get("SCHEMES", "http").split(",")
    if _TRANSPORT_PORT in ports or "localhost" in hosts:
        return None
    nodes = zip(hosts, ports, schemes)  # noqa: B905 - as PredictionIO: the shortest list decides
    return {"hosts": [f"{scheme}://{host.strip()}:{port.strip()}" for host, port, scheme in nodes]}


def _hdfs(found: Mapping[str, str]) -> dict[str, Value] | None:
    path = _HDFS_PATH.fullmatch(found.get("PATH", ""))
    if found.get("TYPE") != "hdfs" or path is None:
        return None
    return {"namenode": path[1], "port": int(path[2] or 8020), "models_path": path[3]}
