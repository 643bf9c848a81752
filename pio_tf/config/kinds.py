"""The kinds of value in pio-tf.hcl: how each is written, checked and described."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, SecretStr, ValidationInfo
from pydantic_core import core_schema

from pio_tf.config.egress import parse_egress
from pio_tf.config.uri_hosts import URI_HOST

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class Kind(Struct, frozen=True):
    """The name of a value's type in docs/configuration.md."""

    name: str


class FreeText(Struct, frozen=True):
    """A marker of text without a syntax of its own. From the environment, such text may be a secret.

    Args:
        published: whether AWS, or Terraform's files and plans, show it.
    """

    published: bool = False


class Matching(Struct, frozen=True):
    """A validator that compares the whole text with a pattern. The error says that it must be ``wanted``."""

    pattern: str
    wanted: str
    kind: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate the text. For an AfterValidator, pydantic would inspect a signature at each of the 90 uses."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"must be {self.wanted}")
        return value


def describe_kind(metadata: object) -> str | None:
    """Return the name that one item of an annotation's metadata gives to the type, if any."""
    if isinstance(metadata, Matching):
        return metadata.kind
    return metadata.name if isinstance(metadata, Kind) else None


class SecretReference(Struct, frozen=True):
    """A secret in AWS. pio-tf reads it only in :func:`pio_tf.pio.secrets.resolve_secrets`.

    Args:
        service: the AWS service that keeps the secret.
        name: a parameter's name, or a secret's name or ARN.
        key: if the secret's text is a JSON object, the key of the value in it. Empty: the whole text.
    """

    service: Literal["ssm", "secretsmanager"]
    name: str
    key: str = ""

    def __str__(self) -> str:
        """Return it as it is written: ``secretsmanager("name", "key")``."""
        arguments = [self.name, self.key] if self.key else [self.name]
        return f"{self.service}({', '.join(json.dumps(one, ensure_ascii=False) for one in arguments)})"


_IN_A_URI = "without an underscore, and with a letter first after its last dot: Java finds no other host in a URI"
_CIDR_WANTED = 'must be an IPv4 address range, like "10.20.0.0/24"'
MY_IP: Final = "my-ip"
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


def _check_egress(value: str) -> str:
    parse_egress(value)
    return value


def _check_remote_path(value: str) -> str:
    if not value.startswith(("/", "~/")):
        raise ValueError('must be absolute, or start with "~/" for the home of ssh.user')
    if not value.isprintable():
        raise ValueError("must be one line of printable characters")
    return value.rstrip("/") or "/"


def memory_mib(value: str) -> int:
    """Return the MiB of a :data:`Memory`: 20480 for ``20g``."""
    return int(value[:-1]) * (1024 if value.endswith("g") else 1)


def _parse_cidr(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str):  # ipaddress would take a number as an address
        raise ValueError(_CIDR_WANTED)  # noqa: TRY004 - pydantic collects ValueError
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise ValueError(_CIDR_WANTED) from None
    if "/" in value and str(network.network_address) != value.partition("/")[0]:
        raise ValueError(f'must begin at the first address of the range, as "{network}" does')
    return network


def _parse_ssh_range(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    if value == MY_IP:
        return value
    try:
        return _parse_cidr(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "{MY_IP}"') from None


def _text(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    """Return a number or boolean as text, as HCL does where it needs text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _one_line(value: str) -> str:
    if any(character in value for character in "\n\r\0"):
        heredoc = "; text after << ends with a newline: write it in quotes" if value.endswith("\n") else ""
        raise ValueError(f"must be one line{heredoc}")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():  # XML cannot hold control characters
        raise ValueError("must be one line of printable characters")
    return value


def _one_query(value: dict[str, Any]) -> dict[str, Any]:
    ((name, body),) = value.items() if len(value) == 1 else ((None, None),)
    if name is None or not isinstance(body, dict):
        raise ValueError('must be one query of Elasticsearch, like { exists = { field = "purchase" } }')
    return value


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return _one_line(value)


def _local_path(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    """Expand ``~``, and resolve a relative path from the directory of pio-tf.hcl, which is in the context."""
    if not isinstance(value, str):
        return value
    _not_empty(value)
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home directory for {value.split('/')[0]}") from None
    return (info.context or {}).get("directory", Path()) / path


def _program(value: str, info: ValidationInfo) -> str:
    """Keep a bare name, which PATH resolves. Anything with a slash is a path."""
    return str(_local_path(value, info)) if "/" in value or value.startswith("~") else value


def _parse_secret(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    if isinstance(value, SecretReference):
        return value
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        message = 'must be text in quotes, env("NAME"), ssm("/name") or secretsmanager("name")'
        raise ValueError(message)  # noqa: TRY004 - pydantic collects ValueError
    if not text:
        raise ValueError("must not be empty")
    return SecretStr(_one_line(text))


def check_webhook(value: str) -> None:
    """Raise ValueError if a text is no address that messages may be sent to: https, or http on this computer."""
    if not re.fullmatch(r"https://[^/\s]+/\S*|http://(127\.\d+\.\d+\.\d+|localhost)(:\d+)?/\S*", value):
        raise ValueError('must be an https address with a path, like "https://hooks.example.org/services/x"')


def _parse_webhook(value: SecretStr | SecretReference) -> SecretStr | SecretReference:
    if isinstance(value, SecretStr):
        check_webhook(value.get_secret_value())
    return value


Duration = Annotated[int, BeforeValidator(_parse_duration), Field(gt=0), Kind("duration")]
"""Seconds; written as ``"90s"``, ``"15m"``, ``"2h"`` or a whole number of seconds."""
Wait = Annotated[int, BeforeValidator(_parse_duration), Field(ge=0), Kind("duration")]
"""A duration that may be 0."""
RemotePath = Annotated[str, AfterValidator(_check_remote_path), Kind("path on the machine")]
LocalPath = Annotated[Path, BeforeValidator(_local_path), Kind("path on this computer")]
Program = Annotated[str, AfterValidator(_program), Kind("name or path")]
Memory = Annotated[
    str, Matching(r"[1-9]\d{0,8}[mg]", 'a whole number of MiB or GiB, like "20g" or "2048m"', kind="memory")
]
"""A heap as Spark and the JVM write it: ``20g``, ``2048m``."""
Port = Annotated[int, Field(ge=1, le=65535), Kind("port")]
Host = Annotated[
    str, Matching(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", "a host name or an IPv4 address", kind="host")
]
UriHost = Annotated[str, Matching(URI_HOST, f"a host name or an IPv4 address, {_IN_A_URI}", kind="host")]
ElasticsearchHost = Annotated[
    str,
    Matching(
        rf"(https?://)?{URI_HOST}(:[1-9]\d{{0,4}})?/?",
        f'a host, like "es-1", "es-1:9200" or "https://es-1:9243", {_IN_A_URI}',
        kind="host",
    ),
]
JdbcUrl = Annotated[
    str,
    Matching(
        r"jdbc:(postgresql|mysql):\S+",
        'the JDBC URL of a PostgreSQL or MySQL database, like "jdbc:postgresql://db-1:5432/pio"',
        kind="URL",
    ),
    FreeText(),
]
S3Path = Annotated[
    str, Matching(r"[^/\s]([^\s]*[^/\s])?", 'a prefix of keys, like "models", without "/" around it', kind="path in S3")
]
S3Url = Annotated[
    str,
    Matching(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?", 'an S3 address, like "s3://bucket/prefix"', kind="URL"),
]
SourceName = Annotated[
    str,
    Matching(
        r"[A-Z0-9]+", 'capital letters and digits, like "PGSQL": PredictionIO reads it up to the first "_"', kind="name"
    ),
]
InstanceType = Annotated[
    str, Matching(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", 'an EC2 instance type, like "r3.xlarge"', kind="instance type")
]
Cidr = Annotated[IPv4Network, BeforeValidator(_parse_cidr), Kind("address range")]
SshRange = Annotated[IPv4Network | Literal["my-ip"], BeforeValidator(_parse_ssh_range), Kind("address range")]
"""Addresses that may open SSH connections; :data:`MY_IP` is that of this computer."""
AddressService = Annotated[
    str,
    Matching(
        r"https://[^/\s@]+(/\S*)?|http://127\.\d+\.\d+\.\d+:\d+/?",
        'an https address without user and password, like "https://checkip.amazonaws.com"',
        kind="URL",
    ),
]
Text = Annotated[str, BeforeValidator(_text), AfterValidator(_one_line), Kind("text"), FreeText()]
"""Text in a map. Takes a number or boolean, too."""
PublishedText = Annotated[Text, FreeText(published=True)]
Words = Annotated[str, AfterValidator(_not_empty), Kind("text")]
"""A name, which is no secret."""
Argument = Annotated[Words, FreeText()]
Reason = Annotated[Words, FreeText(published=True)]
SettingName = Annotated[str, Matching(r"[^\s=:#]+", 'the name of a setting, like "spark.local.dir"', kind="text")]
Percentage = Annotated[str, Matching(r"(100|[1-9]?\d)%", 'a percentage, like "30%"', kind="percentage")]
SearchQuery = Annotated[dict[str, Any], AfterValidator(_one_query), Kind("query")]
"""A query of Elasticsearch, as an object: ``{ term = { id = "i1" } }``."""
BackendValue = Annotated[str | int | bool | list[str] | dict[str, str], Kind("any")]
Secret: TypeAlias = Annotated[SecretStr | InstanceOf[SecretReference], BeforeValidator(_parse_secret), Kind("secret")]
"""A password. Plain text, ``env("NAME")`` included, is a SecretStr, which no repr shows."""
Password: TypeAlias = SecretStr | SecretReference
Webhook: TypeAlias = Annotated[
    SecretStr | InstanceOf[SecretReference],
    BeforeValidator(_parse_secret),
    AfterValidator(_parse_webhook),
    Kind("secret"),
]
"""The address of a webhook. It is a secret, because it is all that sending messages takes."""

ClusterName = Annotated[
    str,
    Matching(
        r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
        "1 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
        kind="name",
    ),
]
AccountId = Annotated[str, Matching(r"\d{12}", 'an AWS account id, like "123456789012"', kind="account id")]
RoleArn = Annotated[
    str,
    Matching(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+", "a role's ARN, like arn:aws:iam::123456789012:role/x", kind="ARN"),
]
PolicyArn = Annotated[
    str,
    Matching(
        r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+",
        "a policy's ARN, like arn:aws:iam::123456789012:policy/x",
        kind="ARN",
    ),
]
ProfileName = Annotated[
    str, Matching(r"[\w+=,.@-]{1,128}", "the name of an instance profile, not its ARN", kind="name")
]
KmsKey = Annotated[
    str,
    Matching(
        r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/|alias/)[A-Za-z0-9/_-]{1,250}"
        r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}",
        'the ARN or id of a KMS key, or an alias, like "alias/training"',
        kind="KMS key",
    ),
]
TopicArn = Annotated[
    str,
    Matching(
        r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}",
        "the ARN of a standard SNS topic, like arn:aws:sns:eu-west-1:123456789012:x",
        kind="ARN",
    ),
]
Region = Annotated[str, Matching(r"[a-z]{2}(-[a-z]+)+-\d", 'an AWS region, like "eu-west-1"', kind="region")]
Url = Annotated[
    str,
    Matching(r"https?://[^/\s@]+/?", 'an address like "http://127.0.0.1:5000", without user and password', kind="URL"),
]
JavaUrl = Annotated[
    str,
    Matching(
        rf"https?://(?:{URI_HOST}|\[[0-9A-Fa-f:.]+\])(?::[1-9]\d{{0,4}})?/?",
        f'an address like "https://s3.example.org:9000", its host {_IN_A_URI}',
        kind="URL",
    ),
]
VpcId = Annotated[str, Matching(r"vpc-[0-9a-f]+", 'a VPC id, like "vpc-0a1b2c3d"', kind="id")]
SecurityGroupId = Annotated[str, Matching(r"sg-[0-9a-f]+", 'a security group id, like "sg-0a1b2c3d"', kind="id")]
Egress = Annotated[str, AfterValidator(_check_egress), Kind("address range or prefix list, with ports")]
SubnetId = Annotated[str, Matching(r"subnet-[0-9a-f]+", 'a subnet id, like "subnet-0a1b2c3d"', kind="id")]
InstanceId = Annotated[str, Matching(r"i-[0-9a-f]+", 'an instance id, like "i-0a1b2c3d"', kind="id")]
ImageId = Annotated[str, Matching(r"ami-[0-9a-f]+", 'an image id, like "ami-0a1b2c3d"', kind="id")]
ParameterName = Annotated[
    str,
    Matching(
        r"/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,14}",
        'the name of a parameter of Systems Manager, like "/images/driver"',
        kind="name of a parameter",
    ),
]
_ONE_CONSTRAINT = r"((=|!=|>|>=|<|<=|~>) *)?\d+(\.\d+){0,2}"
VersionConstraint = Annotated[
    str,
    Matching(
        rf"{_ONE_CONSTRAINT}(, *{_ONE_CONSTRAINT})*",
        'a version constraint of Terraform, like "~> 6.20"',
        kind="version constraint",
    ),
]
Version = Annotated[str, Matching(r"\d+\.\d+\.\d+", 'a version, like "2.4.8"', kind="version")]
DownloadUrl = Annotated[
    str,
    Matching(
        r"(https?|s3)://[^/\s@]+(/\S*)?",
        "an http, https or s3 address without user and password: plans and user data would show them",
        kind="URL",
    ),
    FreeText(published=True),
]
ProxyUrl = Annotated[
    str,
    Matching(
        r"http://[A-Za-z0-9.-]+(:[1-9]\d{0,4})?/?",
        'an address like "http://proxy.example.org:3128", without user and password, which user data would show',
        kind="URL",
    ),
    FreeText(published=True),
]
NoProxy = Annotated[
    str,
    Matching(r"[A-Za-z0-9.*_-]+(/\d+)?", 'a host, a domain or an address, like ".example.internal"', kind="host"),
]
Sha512 = Annotated[str, Matching(r"[0-9a-f]{128}", "128 hexadecimal digits in lower case", kind="SHA-512")]
UserName = Annotated[str, Matching(r"[a-z_][a-z0-9_.-]*", "a user name", kind="user name")]
JumpHost = Annotated[
    str,
    Matching(r"([^@\s]+@)?[A-Za-z0-9._-]+(:\d+)?", 'a jump host, like "ops@bastion.example.org:22"', kind="host"),
]
Nameservice = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", 'letters, digits and hyphens, like "mycluster"', kind="nameservice"
    ),
]
NameNode = Annotated[
    str,
    Matching(rf"{URI_HOST}(:[1-9]\d{{0,4}})?", f'a host, like "nn-1" or "nn-1:8020", {_IN_A_URI}', kind="host"),
]
ZnodePath = Annotated[str, Matching(r"(/[^/\s]+)+", 'a path in ZooKeeper, like "/hbase-secure"', kind="path")]
PropertyName = Annotated[
    str, Matching(r"[!-~]+", 'the name of a property, like "dfs.replication"', kind="name of a property")
]
PropertyValue = Annotated[Text, AfterValidator(_printable)]
HdfsPath = Annotated[str, Matching(r"/\S*", 'an absolute path, like "/models"', kind="path in HDFS")]
BackendType = Annotated[str, Matching(r"[a-z][a-z0-9]*", 'a backend of Terraform, like "s3"', kind="name")]
