"""Credentials beyond botocore's own: from a role in pio-tf.hcl, and from files that another program renews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
)
from botocore.exceptions import NoCredentialsError

from pio_tf.aws.errors import EXPIRED

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.session import Session

    from pio_tf.config.blocks import AssumeRole


class RenewableCredentials(Credentials):
    """Credentials that pio-tf reads again when AWS says that they have expired.

    botocore refreshes those of roles and of single sign-on by itself. It reads the access keys of a session from a file
    only once, although another program may write new ones there while a training runs.

    Args:
        found: the credentials now.
        look: reads them again.
    """

    def __init__(self, found: Credentials, look: Callable[[], Credentials | None]) -> None:
        super().__init__("", "", method=found.method)  # signers read the frozen ones
        self._found = found
        self._look = look

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the keys to sign with, refreshed if they must be."""
        return self._found.get_frozen_credentials()

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
        open_session: returns a new session with the same settings, which reads the files again.
    """

    METHOD = "renewable"
    CANONICAL_NAME = None

    def __init__(self, open_session: Callable[[], Session]) -> None:
        super().__init__()
        self._open_session = open_session

    def load(self) -> Credentials | None:
        """Return the credentials; None if there are none."""
        found = self._look()
        return None if found is None else RenewableCredentials(found, self._look)

    def _look(self) -> Credentials | None:
        return self._open_session().get_credentials()


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
