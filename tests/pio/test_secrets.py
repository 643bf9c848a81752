"""Passwords, read from AWS as moto's server gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pio_tf.aws.session import Aws
from pio_tf.config.kinds import SecretReference
from pio_tf.config.load import load_config
from pio_tf.errors import AwsError, ConfigError
from pio_tf.pio.secrets import Secrets, hide_password, resolve_secrets
from pio_tf.sandbox.aws import LocalAws
from tests.support.config_samples import BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config


@pytest.fixture(scope="module")
def local_aws() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def load(tmp_path: Path, local_aws: LocalAws) -> Callable[..., Config]:
    """Return a function that loads a configuration with these passwords for the local AWS.

    Each password belongs to a database of its own, from line 1 on.
    """
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = x\n")
    aws = f'aws {{\n region = "eu-west-1"\n endpoint_url = "{local_aws.url}"\n credentials_file = "credentials"\n}}\n'

    def make(*passwords: str) -> Config:
        sources = "".join(
            f'source "P{number:03}" {{\n  type = "jdbc"\n  url = "jdbc:mysql://db/pio"\n  user = "u"\n'
            f'  driver_jar = "/j.jar"\n  password = {password}\n}}\n'
            for number, password in enumerate(passwords)
        )
        rest = "".join(text for name, text in BLOCKS.items() if name != "aws")
        (tmp_path / "pio-tf.hcl").write_text(sources + aws + rest)
        return load_config(tmp_path / "pio-tf.hcl", environ={"PASSWORD": "from the environment"})

    return make


def passwords(config: Config, secrets: Secrets) -> list[str]:
    return [secrets.reveal(block.password) for block in config.source.values() if block.type == "jdbc"]


def resolve(config: Config) -> Secrets:
    return resolve_secrets(config, Aws(config).client)


def test_passwords_that_are_there_already_ask_aws_for_nothing(load: Callable[..., Config]) -> None:
    def no_client(service: str) -> Any:  # noqa: ANN401
        raise AssertionError(service)

    config = load('"plain"', 'env("PASSWORD")', '"plain"')
    secrets = resolve_secrets(config, no_client)
    assert passwords(config, secrets) == ["plain", "from the environment", "plain"]
    assert secrets.values == ("plain", "from the environment")


def test_parameters_are_decrypted_ten_a_call_and_each_once(load: Callable[..., Config], local_aws: LocalAws) -> None:
    names = [f"/pio/{number}" for number in range(12)]
    config = load(*(f'ssm("{name}")' for name in names), 'ssm("/pio/0")')
    ssm = Aws(config).client("ssm")
    for name in names:
        kind = "SecureString" if name != "/pio/3" else "String"
        ssm.put_parameter(Name=name, Value=f"value of {name}", Type=kind)  # type: ignore[attr-defined]
    before = local_aws.calls["ssm", "GetParameters"]
    secrets = resolve(config)
    assert passwords(config, secrets) == [f"value of {name}" for name in [*names, "/pio/0"]]
    assert local_aws.calls["ssm", "GetParameters"] == before + 2
    assert len(secrets.values) == 12


def test_a_parameter_is_found_by_version_and_by_arn(load: Callable[..., Config]) -> None:
    config = load('ssm("versions:1")')
    ssm: Any = Aws(config).client("ssm")
    ssm.put_parameter(Name="versions", Value="old", Type="String")
    ssm.put_parameter(Name="versions", Value="new", Type="String", Overwrite=True)
    assert passwords(config, resolve(config)) == ["old"]
    config = load('ssm("arn:aws:ssm:eu-west-1:123456789012:parameter/versions")')
    assert passwords(config, resolve(config)) == ["new"]


def test_a_version_is_not_taken_for_the_newest_where_both_are_asked_for(load: Callable[..., Config]) -> None:
    class Ssm:
        """Answers as AWS does, which tells the two apart by their Selector."""

        def get_parameters(self, *, Names: list[str], WithDecryption: bool) -> dict[str, object]:  # noqa: N803
            assert WithDecryption
            assert sorted(Names) == ["p", "p:1", "p:label"]
            newest = {"Name": "p", "Value": "new", "Version": 3}
            old = {"Name": "p", "Value": "old", "Version": 1, "Selector": ":1"}
            labelled = {"Name": "p", "Value": "labelled", "Version": 2, "Selector": ":label"}
            return {"Parameters": [newest, old, labelled], "InvalidParameters": []}

    config = load('ssm("p")', 'ssm("p:1")', 'ssm("p:label")')
    assert passwords(config, resolve_secrets(config, lambda _service: Ssm())) == ["new", "old", "labelled"]


def test_a_secret_is_asked_for_once_and_gives_its_text_or_one_of_its_keys(
    load: Callable[..., Config], local_aws: LocalAws
) -> None:
    plain, keys = 'secretsmanager("plain")', 'secretsmanager("keys", "{}")'
    config = load(plain, keys.format("a"), keys.format("b c"), 'secretsmanager("keys")')
    manager: Any = Aws(config).client("secretsmanager")
    manager.create_secret(Name="plain", SecretString="the text")
    text = json.dumps({"a": "one", "b c": 'tw"o'})
    manager.create_secret(Name="keys", SecretString=text)
    before = local_aws.calls["secretsmanager", "GetSecretValue"]
    secrets = resolve(config)
    assert passwords(config, secrets) == ["the text", "one", 'tw"o', text]
    assert local_aws.calls["secretsmanager", "GetSecretValue"] == before + 2


WRONG = [
    ('ssm("/not/there")', "there is no such parameter in SSM's Parameter Store", "correct the name"),
    ('secretsmanager("not-there")', "there is no such secret in Secrets Manager", "correct the name"),
    ('secretsmanager("binary")', "is binary", "--secret-string"),
    ('secretsmanager("text", "key")', "has no keys", 'leave the key out: secretsmanager("text")'),
    ('secretsmanager("list", "key")', "has no keys", "leave the key out"),
    ('secretsmanager("object", "key")', "there is no text under this key", "choose one of its keys: port, user"),
    ('secretsmanager("object", "port")', "there is no text under this key", "choose one of its keys: port, user"),
    ('secretsmanager("lines")', "has more than one line", "without a line break at its end"),
]


@pytest.mark.parametrize(("reference", "what", "next_step"), WRONG)
def test_a_secret_that_cannot_be_used_is_named_with_its_line(
    load: Callable[..., Config], local_aws: LocalAws, reference: str, what: str, next_step: str
) -> None:
    config = load('"x"', reference)
    manager: Any = Aws(config).client("secretsmanager")
    texts = {"text": "hunter2", "list": '["hunter2"]', "object": '{"user": "hunter2", "port": 7}', "lines": "hunter2\n"}
    there = {secret["Name"] for secret in manager.list_secrets()["SecretList"]}
    for name in texts.keys() - there:
        manager.create_secret(Name=name, SecretString=texts[name])
    if "binary" not in there:
        manager.create_secret(Name="binary", SecretBinary=b"hunter2")
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    assert caught.value.what.startswith(f"pio-tf.hcl:13: source.P001.password: {reference}")
    assert what in caught.value.what
    assert next_step in caught.value.next_step
    assert caught.value.cause
    assert "hunter2" not in str(caught.value)


class Refused:
    """A client whose every call AWS refuses."""

    def __init__(self, code: str, message: str) -> None:
        self._error = {"Error": {"Code": code, "Message": message}}

    def get_parameters(self, **_arguments: object) -> object:
        raise ClientError(self._error, "GetParameters")  # type: ignore[arg-type]

    def get_secret_value(self, **_arguments: object) -> object:
        raise ClientError(self._error, "GetSecretValue")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reference", "message", "permission"),
    [
        ('ssm("/p")', "no", "ssm:GetParameters"),
        ('secretsmanager("p")', "no", "secretsmanager:GetSecretValue"),
        ('ssm("/p")', "User: arn:x is not authorized to perform: kms:Decrypt on resource: y", "kms:Decrypt"),
    ],
)
def test_a_missing_permission_is_named_with_the_reference_and_its_line(
    load: Callable[..., Config], reference: str, message: str, permission: str
) -> None:
    with pytest.raises(AwsError) as caught:
        resolve_secrets(load(reference), lambda _service: Refused("AccessDeniedException", message))
    assert caught.value.what.startswith(f"pio-tf.hcl:6: source.P000.password: {reference}: not allowed")
    assert f"add {permission} to the policy" in caught.value.next_step


def test_secrets_show_none_of_themselves() -> None:
    reference = SecretReference("ssm", "/p")
    secrets = Secrets({reference: "hunter2"}, plain=("hunter3",))
    assert "hunter" not in repr(secrets) + str(secrets)
    assert hide_password(reference) == "********"
