"""botocore's sessions and clients for one cluster: credentials that are read again, time limits, attempts.

Only :mod:`pio_tf.aws.session` imports this module, when a client is first needed: most of botocore comes with it.
"""

from __future__ import annotations

import copy
import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from botocore.config import Config as ClientConfig
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
)
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.handlers import BUILTIN_HANDLERS, REGISTER_FIRST
from botocore.hooks import HierarchicalEmitter
from botocore.session import Session

from pio_tf.aws.descriptions import shared_loader
from pio_tf.aws.errors import EXPIRED, NO_CAPACITY, credential_errors
from pio_tf.aws.timestamps import read_timestamp
from pio_tf.ci_job import refuse_credential_process
from pio_tf.errors import AwsError
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.config.blocks import AssumeRole, AwsBlock

CONNECT_TIMEOUT = 10
"""Seconds."""
READ_TIMEOUT = 60
"""Seconds; describing hundreds of instances takes AWS some."""
ATTEMPTS = 6
"""Attempts of one call, the first included. botocore's standard mode waits a random part of 1, 2, 4, 8, 16 s between
them: some 15 s in all, which outlasts what AWS's own clients call transient. It retries throttling, failures of AWS and
lost connections, and nothing of ours does so beside it: a change of power only polls on."""


class RenewableCredentials(Credentials):
    """Credentials that pio-tf reads again when AWS says that they have expired.

    botocore refreshes those of roles and of single sign-on by itself. It reads the access keys of a session from a file
    only once, although another program may write new ones there while a training runs.

    Args:
        found: the credentials now.
        look: reads them again.
        profile: the profile that they come from, for errors.
    """

    def __init__(self, found: Credentials, look: Callable[[], Credentials | None], *, profile: str | None) -> None:
        super().__init__("", "", method=found.method)  # signers read the frozen ones
        self._profile = profile
        self._found = found
        self._look = look

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the keys to sign with, refreshed if they must be."""
        with credential_errors(self._profile):
            frozen = self._found.get_frozen_credentials()
            for part in frozen:
                (part or "").encode("ascii")  # or signing raises UnicodeEncodeError, amid any call
            return frozen

    def renew(self) -> bool:
        """Read the credentials again; return whether they are different now."""
        found = self._look()
        if found is None or found.get_frozen_credentials() == self.get_frozen_credentials():
            return False
        self._found = found
        return True

    def retry_renewed(self, response: Any = None, **_event: object) -> int | None:  # noqa: ANN401 - botocore's
        """Answer botocore's event ``needs-retry``: retry at once with new credentials if the old ones have expired."""
        code = response[1].get("Error", {}).get("Code") if response is not None else None
        return 0 if code in EXPIRED and self.renew() else None


class RenewableProvider(CredentialProvider):
    """The provider that makes a session's own credentials renewable.

    Args:
        own: what the session would find its credentials with.
        again: returns another one with the same settings, which reads the files again.
        profile: the profile that they come from, for errors.
    """

    METHOD = "renewable"
    CANONICAL_NAME = None

    def __init__(
        self, own: CredentialResolver, *, again: Callable[[], CredentialResolver], profile: str | None
    ) -> None:
        super().__init__()
        self._own = own
        self._again = again
        self._profile = profile

    def load(self) -> Credentials | None:
        """Return the credentials; None if there are none."""
        found = self._look(self._own)
        if found is None:
            return None
        return RenewableCredentials(found, lambda: self._look(self._again()), profile=self._profile)

    def _look(self, resolver: CredentialResolver) -> Credentials | None:
        with credential_errors(self._profile):
            return resolver.load_credentials()


class RoleProvider(CredentialProvider):
    """The provider of ``aws.assume_role``: fetches credentials on first use, and again before they expire."""

    METHOD = "assume-role"
    CANONICAL_NAME = None

    def __init__(self, role: AssumeRole, *, source: Session, create_client: Any) -> None:  # noqa: ANN401
        super().__init__()
        self._role = role
        self._source = source
        self._create_client = create_client

    def load(self) -> DeferredRefreshableCredentials:
        source = self._source.get_credentials()
        if source is None:
            raise NoCredentialsError
        extra = {"RoleSessionName": self._role.session_name}
        if self._role.external_id is not None:
            extra["ExternalId"] = self._role.external_id
        fetcher = AssumeRoleCredentialFetcher(self._create_client, source, self._role.role_arn, extra_args=extra)
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)


def open_session(aws: AwsBlock) -> Session:
    session = _base_session(aws)
    renewable = RenewableProvider(
        _resolver(session), again=lambda: _resolver(_base_session(aws)), profile=session.profile
    )
    session.register_component("credential_provider", CredentialResolver([renewable]))
    if aws.assume_role is None:
        return session
    provider = RoleProvider(aws.assume_role, source=session, create_client=partial(create_client, session, aws))
    session = _base_session(aws)
    session.register_component("credential_provider", CredentialResolver([provider]))
    return session


@cache
def own_handlers() -> HierarchicalEmitter:
    """Return botocore's own handlers of events, as a session registers them.

    A session first compares each name with 70 old names of services, which takes 5 ms. No service of pio-tf has one.
    """
    events = HierarchicalEmitter()
    for name, handler, *place in BUILTIN_HANDLERS:
        if not place:
            events.register(name, handler)
        elif place[0] is REGISTER_FIRST:
            events.register_first(name, handler)
        else:
            events.register_last(name, handler)
    return events


def _resolver(session: Session) -> CredentialResolver:
    """Return what finds the credentials of a session."""
    found: CredentialResolver = session.get_component("credential_provider")
    return found


def _base_session(aws: AwsBlock) -> Session:
    session = Session(event_hooks=copy.copy(own_handlers()), include_builtin_handlers=False, profile=aws.profile)
    session.set_config_variable("region", aws.region)
    if aws.credentials_file is not None:
        path = aws.credentials_file.expanduser()
        if not path.is_file():  # botocore would pass over it in silence, and use other credentials
            raise AwsError(
                f"{path} does not exist",
                cause="aws.credentials_file names it",
                next_step="create the file, or correct or remove `aws.credentials_file` in pio-tf.hcl",
                details={"path": str(path)},
            )
        refuse_credential_process(path, environ=os.environ)
        session.set_config_variable("credentials_file", str(path))
    session.register_component("data_loader", shared_loader(session.get_config_variable("data_path") or ""))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_timestamp)
    _refuse_mfa(session, uses_profile=aws.profile is not None or "AWS_ACCESS_KEY_ID" not in os.environ)
    return session


def _refuse_mfa(session: Session, *, uses_profile: bool) -> None:
    """Raise AwsError if botocore would ask for a code: neither Terraform nor a training at night can answer."""
    profiles = session.full_config.get("profiles", {})
    name, seen = session.profile or "default", set[str]()
    while uses_profile and name in profiles and name not in seen:
        seen.add(name)
        profile = profiles[name]
        if "role_arn" in profile and "mfa_serial" in profile:
            raise AwsError(
                f'the AWS profile "{name}" asks for an MFA code',
                cause=f"its mfa_serial is {profile['mfa_serial']}, and pio-tf asks no questions about credentials",
                next_step=f'begin a session first: `eval "$(aws configure export-credentials --profile {name} --format '
                'env)"`, and leave `aws.profile` out of pio-tf.hcl',
                details={"profile": name},
            )
        name = profile.get("source_profile", "")


def create_client(
    session: Session,
    aws: AwsBlock,
    service: str,
    attempts: int = ATTEMPTS,
    connect_timeout: float = CONNECT_TIMEOUT,
    read_timeout: float = READ_TIMEOUT,
    **keys: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    client = session.create_client(
        service,
        endpoint_url=aws.endpoint_url,
        config=ClientConfig(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            user_agent_extra=f"pio-tf/{__version__}",
        ),
        **keys,
    )
    client.meta.events.register_first("needs-retry.ec2.StartInstances", _no_capacity_is_an_answer)  # type: ignore[arg-type]
    own = session.get_credentials()
    if isinstance(own, RenewableCredentials):
        client.meta.events.register_first("needs-retry", own.retry_renewed)  # type: ignore[arg-type]
    if aws.endpoint_url is not None:
        client.meta.events.register_first("needs-retry", _refused_is_an_answer)
    return client


def _refused_is_an_answer(caught_exception: Exception | None = None, **_event: object) -> None:
    """Report at once that nothing listens at a configured endpoint.

    It will not begin to listen within seconds, so botocore does not retry.
    """
    if isinstance(caught_exception, EndpointConnectionError) and "refused" in str(caught_exception.kwargs.get("error")):
        raise caught_exception


def _no_capacity_is_an_answer(response: Any = None, **_event: object) -> bool | None:  # noqa: ANN401 - botocore's
    """Report InsufficientInstanceCapacity at once.

    It is an HTTP 500, which botocore would retry within seconds. Capacity comes back in minutes, if at all:
    :func:`~pio_tf.machines.power.start_machines` retries then, for all machines at once.
    """
    code = response[1].get("Error", {}).get("Code") if response is not None else None
    return False if code in NO_CAPACITY else None
