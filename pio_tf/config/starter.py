"""A first pio-tf.hcl: the lines that matter. :mod:`pio_tf.config.template` has all options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace
from pydantic import AfterValidator, TypeAdapter, ValidationError

from pio_tf.config.hcl_writer import Value, attributes, render
from pio_tf.config.kinds import (
    MY_IP,
    ClusterName,
    ElasticsearchHost,
    Host,
    Region,
    RemotePath,
    SshRange,
    SubnetId,
    UriHost,
    VpcId,
    Words,
)
from pio_tf.config.load import CONFIG_NAME, parse_config
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config

THROUGH_AWS = ("ssm", "instance-connect")
"""The ways to the driver without an open port: values of ``ssh.via``."""
DEFAULT_TYPES = ("r3.xlarge", "r5.xlarge", "r6i.xlarge")
_EXAMPLE_ID = "-00000000000000000"
_EXAMPLE_DOMAIN = ".example.internal"
"""The ends of examples in both files that `pio-tf init` writes."""


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _list_of(kind: Any) -> Any:  # noqa: ANN401 - an annotation
    """Return the kind of a list, which a user writes with commas."""
    adapter = TypeAdapter(list[kind])
    return Annotated[str, AfterValidator(lambda text: ",".join(adapter.validate_python(_words(text))))]


def _check_access(value: str) -> str:
    if value not in THROUGH_AWS:
        TypeAdapter(SshRange).validate_python(value)
    return value


KINDS: Mapping[str, Any] = {
    "cluster": ClusterName,
    "region": Region,
    "profile": Words,
    "vpc": VpcId,
    "subnet": SubnetId,
    "access": Annotated[str, AfterValidator(_check_access)],
    "key": Words,
    "elasticsearch": _list_of(ElasticsearchHost),
    "hbase": _list_of(Host),
    "hdfs": UriHost,
    "engine_dir": RemotePath,
}
"""The kind of each answer, by the field of :class:`Starter`."""


class Starter(Struct, frozen=True):
    """The answers that a first pio-tf.hcl is made of. Defaults are examples, which the file marks with EDIT.

    Args:
        access: ``my-ip``, an address range, or one of :data:`THROUGH_AWS`.
        elasticsearch, hbase: hosts, with commas between them.
        instance_types: of driver, master and workers.
        notes: comments, by the field that they explain.
    """

    cluster: str = "pio-train"
    region: str = "us-east-1"
    profile: str = ""
    vpc: str = "vpc-00000000000000000"
    subnet: str = "subnet-00000000000000000"
    access: str = MY_IP
    key: str = "~/.ssh/id_ed25519"
    key_pair: str = ""
    elasticsearch: str = "es-1.example.internal"
    hbase: str = "hbase-1.example.internal"
    hdfs: str = "hdfs-1.example.internal"
    engine_dir: str = "/home/ubuntu/universal-recommender"
    workers: int = 2
    instance_types: tuple[str, ...] = DEFAULT_TYPES
    notes: Mapping[str, str] = field(default_factory=dict)

    def with_answers(self, answers: Mapping[str, str | None]) -> Starter:
        """Return this with other answers, each checked; None and empty ones are left out.

        Raises:
            ConfigError: an answer is not of its kind.
        """
        given = {name: check_answer(name, value) for name, value in answers.items() if value}
        return replace(self, **given)


EXAMPLES: Mapping[str, str] = {
    name: str(default)
    for name, default in asdict(Starter()).items()
    if name in ("vpc", "subnet", "elasticsearch", "hbase", "hdfs", "engine_dir")
}
"""The defaults that no cluster can use as they are."""


def load_starter(starter: Starter) -> Config:
    """Return the configuration of a starter, for commands that need an AWS account but no pio-tf.hcl."""
    return parse_config(render_starter(starter), path=Path(CONFIG_NAME).absolute(), environ={})


def find_examples(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each option that still has an example as its value, with that value."""
    hosts = {
        "elasticsearch.hosts": config.elasticsearch.hosts if config.elasticsearch else [],
        "hbase.hosts": config.hbase.hosts if config.hbase else [],
        "hdfs.namenode": [config.hdfs.namenode or ""] if config.hdfs else [],
    }
    yield from ((name, host) for name, found in hosts.items() for host in found if host.endswith(_EXAMPLE_DOMAIN))
    network = config.network
    ids = {"network.vpc_id": [network.vpc_id], "network.subnet_id": [network.subnet_id]}
    ids["network.ssh_security_group_ids"] = list(network.ssh_security_group_ids)
    yield from ((name, one) for name, found in ids.items() for one in found if one and one.endswith(_EXAMPLE_ID))


def check_answer(name: str, value: str) -> str:
    """Return an answer as it is written to the file.

    Raises:
        ConfigError: it is not of its kind.
    """
    try:
        return str(TypeAdapter(KINDS[name]).validate_python(value.strip()))
    except ValidationError as error:
        rule = error.errors()[0]["ctx"]["error"]
        what = {"cluster": "the cluster's name", "region": "the region"}.get(name, f"--{name.replace('_', '-')}")
        raise ConfigError(f"{what} {rule}, got {json.dumps(value)}", next_step="give another one") from None


def render_starter(starter: Starter) -> str:
    """Return the text of a pio-tf.hcl that loads as it is."""
    via = starter.access if starter.access in THROUGH_AWS else None
    network: dict[str, Value] = {"vpc_id": starter.vpc, "subnet_id": starter.subnet}
    marked = {"vpc_id": _note(starter, "vpc"), "subnet_id": _note(starter, "subnet")}
    if via is None:
        network["ssh_cidrs"] = [starter.access]
        mine = "this computer may connect to the driver" if starter.access == MY_IP else "may connect to the driver"
        marked["ssh_cidrs"] = starter.notes.get("access", mine)
    elif via == "instance-connect":
        network["ssh_security_group_ids"] = ["sg-00000000000000000"]
        marked["ssh_security_group_ids"] = "EDIT: of the VPC's EC2 Instance Connect Endpoint"
    types = list(starter.instance_types)
    ssh: dict[str, Value] = {"key": starter.key, "key_pair": starter.key_pair or None, "via": via}
    aws: dict[str, Value] = {"region": starter.region, "profile": starter.profile or None}
    return "\n".join(
        (
            "# A cluster that trains PredictionIO models. Lines with EDIT hold examples.",
            "# Every option: docs/configuration.md, or `pio-tf init --full`. To check this file: pio-tf validate",
            "",
            _block("cluster", {"name": starter.cluster}),
            _block("aws", aws),
            "",
            "# A subnet that reaches the services below, and the internet through NAT, to install software.",
            _block("network", network, marked),
            "",
            _block("ssh", ssh, {"via": "AWS carries the connection: no open port"}),
            *((_block("machines", {"make_instance_profile": True}) + " # Systems Manager needs it",) * (via == "ssm")),
            "",
            "# The driver runs `pio train`. Machines get the first of their types that AWS has at the time.",
            *(f"# {line}" for line in starter.notes.get("instance_types", "").splitlines()),
            _block("driver", {"instance_types": types}),
            _block("spark", {"workers": starter.workers, "instance_types": types}),
            "",
            "# Where the prediction server has the engine, and your services. For PostgreSQL or S3: docs/storage.md",
            *_with_notes(
                (_block("pio", {"engine_dir": starter.engine_dir}), _note(starter, "engine_dir")),
                (_block("elasticsearch", {"hosts": _words(starter.elasticsearch)}), _note(starter, "elasticsearch")),
                (_block("hbase", {"hosts": _words(starter.hbase)}), _note(starter, "hbase")),
                (_block("hdfs", {"namenode": starter.hdfs}), _note(starter, "hdfs")),
            ),
            "",
        )
    )


def _note(starter: Starter, name: str) -> str:
    """Return the comment on an answer: EDIT on an example, what was found in AWS on another one."""
    edit = "EDIT" if getattr(starter, name) == EXAMPLES.get(name) else ""
    return ": ".join(filter(None, (edit, starter.notes.get(name, ""))))


def _with_notes(*lines: tuple[str, str]) -> list[str]:
    """Return lines with their comments, in one column as `terraform fmt` writes them."""
    width = max((len(line) for line, note in lines if note), default=0)
    return [f"{line.ljust(width)} # {note}" if note else line for line, note in lines]


def _block(name: str, values: Mapping[str, Value], notes: Mapping[str, str] | None = None) -> str:
    """Return a block; one with a single option takes one line."""
    given = {option: value for option, value in values.items() if value is not None}
    found = [(notes or {}).get(option, "") for option in given]
    if len(given) == 1 and not any(found):
        ((option, value),) = given.items()
        return f"{name} {{ {option} = {render(value)} }}"
    lines = attributes(given, indent=2).splitlines()
    return "\n".join((f"{name} {{", *_with_notes(*zip(lines, found, strict=True)), "}"))
