"""The passwords of pio-tf.hcl; AWS stores some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from botocore.exceptions import ClientError
from pydantic import SecretStr

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.errors import aws_errors, error_code
from pio_tf.config.environment import HIDDEN
from pio_tf.config.kinds import Password, SecretReference
from pio_tf.config.storage import HbaseBlock, HdfsBlock
from pio_tf.errors import ConfigError
from pio_tf.json_text import parse_json
from pio_tf.secret_names import is_secret_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config

RevealPassword: TypeAlias = Callable[[Password], str]
_BATCH = 10
"""Parameters that one GetParameters call may name, an SSM limit."""


def hide_password(_password: Password) -> str:
    """Return stars, for files that are only shown. AWS is not asked."""
    return HIDDEN


@dataclass(frozen=True)
class Secrets:
    """The values of a configuration's passwords.

    Args:
        found: the value of each reference.
        plain: the values from pio-tf.hcl or the environment.
    """

    found: Mapping[SecretReference, str] = field(default_factory=dict, repr=False)
    plain: tuple[str, ...] = field(default=(), repr=False)

    @property
    def values(self) -> tuple[str, ...]:
        """All passwords: output and stored files must not contain them."""
        return tuple(dict.fromkeys([*self.plain, *self.found.values()]))

    def reveal(self, password: Password) -> str:
        """Return the value of a password of the configuration."""
        return password.get_secret_value() if isinstance(password, SecretStr) else self.found[password]


def resolve_secrets(config: Config, client: Callable[[str], Any]) -> Secrets:
    """Read every secret that the configuration refers to.

    Args:
        client: returns a boto3 client of ``"ssm"`` or ``"secretsmanager"``, as :meth:`pio_tf.aws.session.Aws.client`
            does. Only called for a service that a reference names.

    Raises:
        ConfigError: a secret does not exist, or is not one line of text.
        AwsError: AWS refuses, or does not answer. A missing permission is named.
    """
    places: dict[SecretReference, str] = {}
    plain = [value for settings in _settings(config) for name, value in settings.items() if is_secret_argument(name)]
    plain += config.environment_secrets
    for path, password in config.passwords:
        if isinstance(password, SecretReference):
            places.setdefault(password, f"{config.where(path)}: {path}")
        else:
            plain.append(password.get_secret_value())
    found: dict[SecretReference, str] = {}
    for service, read in (("ssm", _read_parameters), ("secretsmanager", _read_secrets)):
        wanted = {reference: place for reference, place in places.items() if reference.service == service}
        if wanted:
            found.update(read(wanted, client(service), config.aws.region))
    for reference, value in found.items():
        _check_text(value, reference, places[reference])
    return Secrets(found, tuple(plain))


def _settings(config: Config) -> Iterator[Mapping[str, str]]:
    """Yield the maps of settings in which the name of a setting says that its value is a secret."""
    yield config.spark.conf
    for source in config.sources:
        if isinstance(source.block, HdfsBlock):
            yield from (source.block.core_site, source.block.hdfs_site)
        if isinstance(source.block, HbaseBlock):
            yield source.block.hbase_site


def _read_parameters(wanted: Mapping[SecretReference, str], ssm: Any, region: str) -> dict[SecretReference, str]:  # noqa: ANN401
    found: dict[SecretReference, str] = {}
    rest = iter(wanted)
    while batch := list(islice(rest, _BATCH)):
        doing = ", ".join(f"{wanted[reference]}: {reference}" for reference in batch)
        with aws_errors(doing, service="ssm"):
            answer = ssm.get_parameters(Names=[reference.name for reference in batch], WithDecryption=True)
        values = {name: item["Value"] for item in answer["Parameters"] for name in _names(item)}
        for reference in batch:
            if reference.name not in values:
                raise _not_there(reference, wanted[reference], "parameter in SSM's Parameter Store", region)
            found[reference] = values[reference.name]
    return found


def _names(parameter: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that ask for a parameter: name or ARN, with ``:version``, or with the Selector of the answer."""
    for name in (parameter["Name"], parameter.get("ARN", "")):
        if parameter.get("Selector"):
            yield name + parameter["Selector"]
        else:
            yield name
            yield f"{name}:{parameter['Version']}"


def _read_secrets(wanted: Mapping[SecretReference, str], manager: Any, region: str) -> dict[SecretReference, str]:  # noqa: ANN401
    texts: dict[str, str | None] = {}
    found: dict[SecretReference, str] = {}
    for reference, place in wanted.items():
        if reference.name not in texts:
            with aws_errors(f"{place}: {reference}", service="secretsmanager"):
                try:
                    answer = manager.get_secret_value(SecretId=reference.name)
                except ClientError as error:
                    if error_code(error) == "ResourceNotFoundException":
                        raise _not_there(reference, place, "secret in Secrets Manager", region) from error
                    raise
            texts[reference.name] = answer.get("SecretString")
        text = texts[reference.name]
        if text is None:
            where = AwsCliHints.of_client(manager).place
            raise ConfigError(
                f"{place}: {reference} is binary",
                cause="a password is text",
                next_step=f"store it as text: aws secretsmanager put-secret-value {where} --secret-id {reference.name} "
                "--secret-string file:///dev/stdin",
            )
        found[reference] = _value_of_key(text, reference, place) if reference.key else text
    return found


def _value_of_key(text: str, reference: SecretReference, place: str) -> str:
    try:
        values = parse_json(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{place}: {reference} has no keys",
            cause="its text is not a JSON object",
            next_step=f"leave the key out: {SecretReference(reference.service, reference.name)}",
        )
    value = values.get(reference.key)
    if not isinstance(value, str):
        raise ConfigError(
            f"{place}: {reference}: there is no text under this key",
            cause="a password is the text of one key of the JSON object",
            next_step=f"choose one of its keys: {', '.join(sorted(values))}",
        )
    return value


def _check_text(value: str, reference: SecretReference, place: str) -> None:
    if value and not any(character in value for character in "\n\r\0"):
        return
    what = "has more than one line" if value else "is empty"
    raise ConfigError(
        f"{place}: {reference} {what}",
        cause="a password is one line of text",
        next_step="store it again without a line break at its end" if value else "store the password there",
    )


def _not_there(reference: SecretReference, place: str, kind: str, region: str) -> ConfigError:
    return ConfigError(
        f"{place}: {reference}: there is no such {kind}",
        cause=f"pio-tf asked AWS in {region}, the region of the aws block",
        next_step="correct the name, or store the password under it",
    )
