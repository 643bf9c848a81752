"""AWS, as pio-tf.hcl says it: one session, its clients, and :func:`aws_errors` around every call."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from pio_tf.aws.bucket_owner import expect_owner
from pio_tf.aws.errors import aws_errors, explain
from pio_tf.aws.identity import who_am_i
from pio_tf.errors import AwsError, ConfigError, PioTfError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.client import BaseClient
    from botocore.session import Session
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.config.schema import Config

__all__ = ["Aws", "aws_errors", "explain"]
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""A profile that these name wins over keys in some programs."""


def configured_region(profile: str | None) -> str | None:
    """Return the region of the environment, or of a profile in the AWS configuration files; None: neither has one."""
    from botocore.session import Session

    try:
        found: str | None = Session(profile=profile).get_config_variable("region")
    except BotoCoreError:
        found = None  # the first call says what is wrong
    return os.environ.get("AWS_REGION") or found


class Aws:
    """The account and region of a cluster.

    Uses botocore without boto3's resources: only ``ec2`` is built, in some 0.3 s, most of it reading EC2's API model.

    Args:
        config: its ``aws`` block names region, profile, credentials file, role and endpoint. What it leaves out
            comes from the usual places (environment, ~/.aws, the machine's role), a profile's own role included.
    """

    def __init__(self, config: Config) -> None:
        self._aws = config.aws
        self._clients: dict[str, Any] = {}
        self._session: Session | None = None

    @property
    def region(self) -> str:
        """The region of the cluster."""
        return self._aws.region

    @overload
    def client(self, service: Literal["ec2"]) -> EC2Client: ...

    @overload
    def client(self, service: str) -> BaseClient: ...

    def client(self, service: str) -> BaseClient | EC2Client:
        """Return a botocore client, made once.

        Raises:
            AwsError: the profile, the AWS files or the credentials file are missing or broken.
            ConfigError: the credentials are of an account that aws.allowed_account_ids does not name.
        """
        if service not in self._clients:
            if service != "sts" and not self._clients.keys() - {"sts"} and self._aws.allowed_account_ids:
                self._refuse_account()
            client = self._make(service)
            if service == "s3":
                expect_owner(client)
            if service == "ec2" and self._aws.allowed_account_ids:
                client.meta.events.register("after-call.ec2.DescribeInstances", self._check_owners)
            self._clients[service] = client
        return self._clients[service]  # type: ignore[no-any-return]

    def quick_client(self, service: str, *, patience: float, region: str | None = None) -> Any:  # noqa: ANN401 - botocore's
        """Return a new client for calls that nothing depends on: it makes one attempt of each.

        Args:
            patience: seconds that the service has to accept a connection, and to answer.
            region: where the service is; default: the cluster's.
        """
        limits = {"connect_timeout": patience, "read_timeout": patience}
        return self._make(service, attempts=1, region_name=region, **limits)

    def environment(self) -> dict[str, str]:
        """Return this process's environment for programs that are to use the same credentials, region and endpoint.

        Raises:
            AwsError: there are no credentials, or the source of them fails.
        """
        with aws_errors(), _file_errors():
            credentials = self._opened().get_credentials()
            if credentials is None:
                raise NoCredentialsError
            keys = credentials.get_frozen_credentials()
        own = {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_REGION": self._aws.region,
            "AWS_ENDPOINT_URL": self._aws.endpoint_url,
        }
        others = {name: value for name, value in os.environ.items() if name not in {*own, *_PROFILES}}
        return others | {name: value for name, value in own.items() if value}

    def _make(self, service: str, *, attempts: int = 0, **options: Any) -> Any:  # noqa: ANN401
        with aws_errors(), _file_errors():
            from pio_tf.aws.clients import ATTEMPTS, create_client

            return create_client(self._opened(), self._aws, service, attempts=attempts or ATTEMPTS, **options)

    def _opened(self) -> Session:
        from pio_tf.aws.clients import open_session

        self._session = self._session or open_session(self._aws)
        return self._session

    def _refuse_account(self) -> None:
        """Refuse credentials of an account that is not allowed, by what STS says of them.

        Whatever stops machines must not depend on STS: one attempt, and if that fails, EC2's answers decide.
        """
        with suppress(AwsError):
            found = who_am_i(partial(self._make, attempts=1))
            self._check_account(found.account, cause=f"they are those of {found.arn}")

    def _check_account(self, account: str, *, cause: str) -> None:
        allowed = self._aws.allowed_account_ids
        if account not in allowed:
            raise ConfigError(
                f"the AWS credentials are of account {account}, and aws.allowed_account_ids names {', '.join(allowed)}",
                cause=cause,
                next_step="use credentials of an allowed account (aws.profile, AWS_PROFILE), or correct pio-tf.hcl",
                details={"account": account, "allowed": list(allowed)},
            )

    def _check_owners(self, parsed: Any, **_event: object) -> None:  # noqa: ANN401 - botocore's
        """Refuse an answer of DescribeInstances, which every change of machines begins with, from another account."""
        for group in parsed.get("Reservations", ()):
            self._check_account(group["OwnerId"], cause="EC2 shows that account's instances")


@contextmanager
def _file_errors() -> Iterator[None]:
    """Turn the errors of other kinds, which botocore lets through for a wrong value in AWS's files, into AwsError."""
    try:
        yield
    except (BotoCoreError, ClientError, PioTfError):
        raise
    except Exception as error:
        raise AwsError(
            "a setting of AWS on this computer cannot be used",
            cause=f"{type(error).__name__}: {error}",
            next_step="check ~/.aws/config, ~/.aws/credentials and the variables AWS_…: `aws configure list`",
        ) from error
