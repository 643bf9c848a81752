"""The kinds of value that pio-tf.hcl has: how each is written, checked and described."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo


@dataclass(frozen=True)
class Kind:
    """What the reference calls the type of a value."""

    name: str


@dataclass(frozen=True)
class Matching:
    """A check: the whole text matches a pattern; otherwise the error says that it must be ``wanted``."""

    pattern: str
    wanted: str
    kind: str

    def __call__(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"must be {self.wanted}")
        return value


def matching(pattern: str, wanted: str, *, kind: str) -> AfterValidator:
    """A validator: the whole text matches ``pattern``, else an error says that it must be ``wanted``."""
    return AfterValidator(Matching(pattern, wanted, kind))


def describe_kind(metadata: object) -> str | None:
    """The name that one piece of an annotation's metadata gives to the type, if it gives any."""
    if isinstance(metadata, AfterValidator) and isinstance(metadata.func, Matching):
        return metadata.func.kind
    return metadata.name if isinstance(metadata, Kind) else None


_CIDR_WANTED = 'must be an IPv4 address range, like "10.20.0.0/24"'
_DURATION_WANTED = 'must be a number with a unit, like "90s", "15m" or "2h"'
_DURATION = re.compile(r"(\d{1,9})\s*(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _parse_duration(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    if isinstance(value, bool):
        raise ValueError(_DURATION_WANTED)  # noqa: TRY004 - pydantic collects ValueError
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if not match:
            raise ValueError(_DURATION_WANTED)
        return int(match[1]) * _SECONDS[match[2]]
    return value


def _check_remote_path(value: str) -> str:
    if not value.startswith(("/", "~/")):
        raise ValueError('must be absolute, or start with "~/" for the home of ssh.user')
    if not value.isprintable():
        raise ValueError("must be one line of printable characters")
    return value.rstrip("/") or "/"


def _check_memory(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,8}[mg]", value):
        raise ValueError('must be a whole number of MiB or GiB, like "20g" or "2048m"')
    return value


def memory_mib(value: str) -> int:
    """MiB of a :data:`Memory`: 20480 for ``20g``."""
    return int(value[:-1]) * (1024 if value.endswith("g") else 1)


def _parse_cidr(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str):  # a number is an address for ipaddress, but hardly for a user
        raise ValueError(_CIDR_WANTED)  # noqa: TRY004 - pydantic collects ValueError
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise ValueError(_CIDR_WANTED) from None
    if "/" in value and str(network.network_address) != value.partition("/")[0]:
        raise ValueError(f'must begin at the first address of the range, as "{network}" does')
    return network


def _text(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    """HCL turns numbers and truth values into text where text is wanted."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _one_line(value: str) -> str:
    if any(character in value for character in "\n\r\0"):
        raise ValueError("must be one line")
    return value


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return _one_line(value)


def _setting_name(value: str) -> str:
    if not re.fullmatch(r"[^\s=:#]+", value):
        raise ValueError('must be the name of a setting, like "spark.local.dir"')
    return value


def _local_path(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    """``~`` is the user's home; a relative path is meant from the directory of pio-tf.hcl (the context's)."""
    if not isinstance(value, str):
        return value
    _not_empty(value)
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home directory for {value.split('/')[0]}") from None
    return (info.context or {}).get("directory", Path()) / path


def _program(value: str, info: ValidationInfo) -> str:
    """A bare name is looked up on PATH; anything with a slash is a path."""
    return str(_local_path(value, info)) if "/" in value or value.startswith("~") else value


Duration = Annotated[int, BeforeValidator(_parse_duration), Field(gt=0), Kind("duration")]
"""Seconds; written as ``"90s"``, ``"15m"``, ``"2h"`` or a whole number of seconds."""
Wait = Annotated[int, BeforeValidator(_parse_duration), Field(ge=0), Kind("duration")]
"""The same, and 0 for none."""
RemotePath = Annotated[str, AfterValidator(_check_remote_path), Kind("path on the machine")]
LocalPath = Annotated[Path, BeforeValidator(_local_path), Kind("path on this computer")]
Program = Annotated[str, AfterValidator(_program), Kind("name or path")]
Memory = Annotated[str, AfterValidator(_check_memory), Kind("memory")]
"""A heap as Spark and the JVM write it: ``20g``, ``2048m``."""
Port = Annotated[int, Field(ge=1, le=65535), Kind("port")]
Host = Annotated[
    str, matching(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", "a host name or an IPv4 address", kind="host")
]
ElasticsearchHost = Annotated[
    str,
    matching(
        r"(https?://)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(:[1-9]\d{0,4})?/?",
        'a host, like "es-1", "es-1:9200" or "https://es-1:9243"',
        kind="host",
    ),
]
JdbcUrl = Annotated[
    str,
    matching(
        r"jdbc:(postgresql|mysql):\S+",
        'the JDBC URL of a PostgreSQL or MySQL database, like "jdbc:postgresql://db-1:5432/pio"',
        kind="URL",
    ),
]
S3Path = Annotated[
    str, matching(r"[^/\s]([^\s]*[^/\s])?", 'the beginning of keys, like "models", no "/" around it', kind="path in S3")
]
S3Url = Annotated[
    str,
    matching(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?", 'an S3 address, like "s3://bucket/prefix"', kind="URL"),
]
SourceName = Annotated[
    str,
    matching(
        r"[A-Z0-9]+", 'capital letters and digits, like "PGSQL": PredictionIO reads it up to the first "_"', kind="name"
    ),
]
InstanceType = Annotated[
    str, matching(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", 'an EC2 instance type, like "r3.xlarge"', kind="instance type")
]
Cidr = Annotated[IPv4Network, BeforeValidator(_parse_cidr), Kind("address range")]
Text = Annotated[str, BeforeValidator(_text), AfterValidator(_one_line), Kind("text")]
"""Text in a map: a number or a truth value is taken as its text."""
Words = Annotated[str, AfterValidator(_not_empty), Kind("text")]
SettingName = Annotated[str, AfterValidator(_setting_name), Kind("text")]
BackendValue = Annotated[str | int | bool | list[str] | dict[str, str], Kind("any")]

ClusterName = Annotated[
    str,
    matching(
        r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
        "1 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
        kind="name",
    ),
]
RoleArn = Annotated[
    str,
    matching(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+", "a role's ARN, like arn:aws:iam::123456789012:role/x", kind="ARN"),
]
PolicyArn = Annotated[
    str,
    matching(
        r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+",
        "a policy's ARN, like arn:aws:iam::123456789012:policy/x",
        kind="ARN",
    ),
]
Region = Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d", 'an AWS region, like "eu-west-1"', kind="region")]
Url = Annotated[str, matching(r"https?://[^/\s]+/?", 'an address like "http://127.0.0.1:5000"', kind="URL")]
VpcId = Annotated[str, matching(r"vpc-[0-9a-f]+", 'a VPC id, like "vpc-0a1b2c3d"', kind="id")]
SubnetId = Annotated[str, matching(r"subnet-[0-9a-f]+", 'a subnet id, like "subnet-0a1b2c3d"', kind="id")]
ImageId = Annotated[str, matching(r"ami-[0-9a-f]+", 'an image id, like "ami-0a1b2c3d"', kind="id")]
Version = Annotated[str, matching(r"\d+\.\d+\.\d+", 'a version, like "2.4.8"', kind="version")]
DownloadUrl = Annotated[str, matching(r"(https?|s3)://\S+", "an http, https or s3 address", kind="URL")]
Sha512 = Annotated[str, matching(r"[0-9a-f]{128}", "128 hexadecimal digits in lower case", kind="SHA-512")]
UserName = Annotated[str, matching(r"[a-z_][a-z0-9_.-]*", "a user name", kind="user name")]
JumpHost = Annotated[
    str,
    matching(r"([^@\s]+@)?[A-Za-z0-9._-]+(:\d+)?", 'a jump host, like "ops@bastion.example.org:22"', kind="host"),
]
HdfsPath = Annotated[str, matching(r"/\S*", 'an absolute path, like "/models"', kind="path in HDFS")]
BackendType = Annotated[str, matching(r"[a-z][a-z0-9]*", 'a backend of Terraform, like "s3"', kind="name")]
