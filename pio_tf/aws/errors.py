"""botocore's errors in the user's words: what failed, why, and what to do. See :func:`aws_errors`."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from botocore import exceptions as botocore

from pio_tf.errors import AwsError, PioTfError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN_IDENTITY = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
UNAUTHORISED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "EC2ThrottledException"}
)
UNAVAILABLE = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"})
NO_CAPACITY = frozenset({"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity"})
TYPE_REFUSED = NO_CAPACITY | {"Unsupported"}
"""The errors that another instance type may not have; ``Unsupported``: the zone does not offer the type."""
QUOTA = frozenset({"InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"})

CAPACITY_ADVICE = (
    "AWS has no machine of this type free in this zone just now: try again in some minutes, start fewer at a time, "
    "or choose another instance type"
)

_NETWORK = (
    botocore.ConnectionError,  # refused, reset, timed out while connecting, TLS and proxy failures
    botocore.HTTPClientError,
)
_SIGN_ON = (
    botocore.SSOError,
    botocore.UnauthorizedSSOTokenError,
    botocore.TokenRetrievalError,
    botocore.SSOTokenLoadError,
)
_ACTION = re.compile(r"not authorized to perform:\s*([a-z0-9-]+:[A-Za-z0-9*]+)")
_ENCODED = re.compile(r"\s*Encoded authorization failure message:\s*(\S+)")
_SERVICES = {"AssumeRole": "sts", "GetCallerIdentity": "sts"}


class _Story(NamedTuple):
    """The three sentences of an error."""

    what: str
    cause: str = ""
    next_step: str = ""


@contextmanager
def aws_errors(doing: str = "", *, service: str = "ec2") -> Iterator[None]:
    """Turn botocore's errors into :class:`~pio_tf.errors.AwsError`. A context manager and a decorator.

    Args:
        doing: the beginning of the message, such as ``"stopping 4 machines"``.
        service: IAM's prefix of the called service, to name a missing permission where AWS does not.

    Raises:
        AwsError: with AWS's code, message, operation and request id in ``details``.
    """
    try:
        yield
    except (botocore.BotoCoreError, botocore.ClientError) as error:
        raise explain(error, doing=doing, service=service) from error
    except Exception as error:
        if _is_unreadable(error):
            raise explain(error, doing=doing, service=service) from error
        raise


@contextmanager
def credential_errors(profile: str | None) -> Iterator[None]:
    """Turn whatever a source of credentials raises into one of botocore's errors, and name the profile in each.

    botocore lets through what files, helper programs and their output cause: FileNotFoundError, JSONDecodeError and
    others.

    Args:
        profile: of the AWS files; None: no profile is chosen.

    Raises:
        CredentialRetrievalError: instead of an error that is neither botocore's nor pio-tf's.
    """
    try:
        yield
    except botocore.BotoCoreError as error:
        error.kwargs = {"profile": profile, **error.kwargs}
        raise
    except (botocore.ClientError, PioTfError):
        raise
    except Exception as error:
        source = f"the profile {profile}" if profile else "the environment"
        raise botocore.CredentialRetrievalError(
            provider=source, error_msg=f"{type(error).__name__}: {error}", profile=profile
        ) from error


def explain(error: Exception, *, doing: str = "", service: str = "ec2") -> AwsError:
    """Return the :class:`~pio_tf.errors.AwsError` for one of botocore's errors; see :func:`aws_errors`."""
    if isinstance(error, botocore.ClientError):
        story = _client_story(error, service=service)
        details = client_details(error)
    else:
        story = _local_story(error)
        details = {"error": type(error).__name__, "message": str(error)}
    what = f"{doing}: {story.what}" if doing else story.what
    return AwsError(what, cause=story.cause, next_step=story.next_step, details=details)


def error_code(error: botocore.ClientError) -> str:
    """Return AWS's code for an error, such as ``InsufficientInstanceCapacity``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: botocore.ClientError) -> str:
    """Return AWS's message, without the kilobyte of encoded text that EC2 appends to some."""
    return _ENCODED.sub("", str(error.response.get("Error", {}).get("Message", ""))).strip()


def client_details(error: botocore.ClientError) -> dict[str, object]:
    """Return all that AWS said, for ``--json`` and for a support case."""
    metadata = error.response.get("ResponseMetadata", {})
    raw = str(error.response.get("Error", {}).get("Message", ""))
    details: dict[str, object] = {
        "code": error_code(error),
        "message": error_message(error),
        "operation": error.operation_name,
        "request_id": metadata.get("RequestId", ""),
        "http_status": metadata.get("HTTPStatusCode"),
    }
    if encoded := _ENCODED.search(raw):
        details["encoded_message"] = encoded[1]
    return details


def is_passing(error: Exception) -> bool:
    """Tell whether an error may be gone in a moment: throttling, an AWS-side failure, or the network."""
    if isinstance(error, botocore.ClientError):
        return error_code(error) in THROTTLED | UNAVAILABLE
    return isinstance(error, _NETWORK)


def is_without_answer(error: Exception) -> bool:
    """Tell whether the call may have taken effect: the network, or AWS itself, failed on the way."""
    return is_passing(error) and not (isinstance(error, botocore.ClientError) and error_code(error) in THROTTLED)


def is_expired(error: Exception) -> bool:
    """Tell whether there are no valid credentials now: the user may renew them while machines change."""
    if isinstance(error, botocore.ClientError):
        return error_code(error) in EXPIRED
    return isinstance(error, (*_SIGN_ON, botocore.CredentialRetrievalError))


def _client_story(error: botocore.ClientError, *, service: str) -> _Story:
    code, message, operation = error_code(error), error_message(error), error.operation_name
    said = f"{code}: {message}" if message else code
    if code in EXPIRED:
        return _Story("the AWS credentials have expired", said, "log in again (`aws sso login`), or renew them")
    if code in UNKNOWN_IDENTITY:
        return _Story(
            "AWS does not accept the credentials",
            said,
            "check the access key, `aws.profile` and this computer's clock; if they are right, the account may not "
            "have enabled the region in `aws.region`",
        )
    if code in UNAUTHORISED:
        return _unauthorised(error, service=service)
    if code == "OptInRequired":
        return _Story(
            "the account may not use this region or service",
            said,
            "enable the region in the account, or change `aws.region`",
        )
    if code in THROTTLED:
        return _Story(
            f"AWS limits the rate of {operation}",
            said,
            "try again in a minute; something else in this account and region is calling the same API often",
        )
    if code in NO_CAPACITY:
        return _Story("AWS has no capacity for the machines", said, CAPACITY_ADVICE)
    if code in QUOTA:
        return _Story(
            "the account's quota for instances is used up", said, "ask AWS for a higher quota, or use fewer machines"
        )
    if code in UNAVAILABLE:
        return _Story(
            f"AWS could not answer {operation}", said, "try again in a minute; see https://health.aws.amazon.com"
        )
    request = client_details(error)["request_id"]
    return _Story(
        f"AWS refused {operation}",
        f"{said} (request id {request})" if request else said,
        "correct what AWS names, and try again",
    )


def _unauthorised(error: botocore.ClientError, *, service: str) -> _Story:
    message = error_message(error)
    named = _ACTION.search(message)
    prefix = _SERVICES.get(error.operation_name, service)
    action = named[1] if named else f"{prefix}:{error.operation_name}"
    if action == "sts:AssumeRole":
        next_step = (
            "let the role's trust policy name this identity, and this identity's policy allow sts:AssumeRole on it"
        )
    else:
        next_step = f"add {action} to the policy of the user or role that pio-tf uses"
    if "encoded_message" in client_details(error):
        next_step += "; `aws sts decode-authorization-message` explains the encoded message (see `--json`)"
    return _Story(
        f"not allowed: the credentials lack the permission {action}", f"{error_code(error)}: {message}", next_step
    )


def _local_story(error: Exception) -> _Story:
    said = str(error)
    if isinstance(error, botocore.NoCredentialsError):
        return _Story(
            "no AWS credentials were found",
            "neither the environment, nor the AWS files, nor this machine's role has any",
            "run `aws configure` or `aws sso login`, set AWS_PROFILE, or name `aws.profile` in pio-tf.hcl",
        )
    if isinstance(error, botocore.PartialCredentialsError):
        return _Story(
            "the AWS credentials are incomplete", said, "set both the access key id and the secret access key"
        )
    if isinstance(error, botocore.ProfileNotFound):
        name = error.kwargs.get("profile", "")
        return _Story(
            f'the AWS profile "{name}" does not exist',
            said,
            "see `aws configure list-profiles`; correct `aws.profile` or AWS_PROFILE",
        )
    if isinstance(error, _SIGN_ON):
        profile = error.kwargs.get("profile")
        option = f" --profile {profile}" if profile else ""
        return _Story("the AWS single sign-on session has ended", said, f"run `aws sso login{option}`")
    if isinstance(error, botocore.CredentialRetrievalError):
        return _Story(
            "the AWS credentials could not be fetched",
            said.strip(),
            "correct the file or program that is named, or the profile that names it; `aws sts get-caller-identity` "
            "fetches them in the same way",
        )
    if isinstance(error, botocore.ConfigParseError | botocore.InvalidConfigError | botocore.ConfigNotFound):
        return _Story(
            "the AWS configuration files can't be read", said, "correct ~/.aws/config or the file that is named"
        )
    if isinstance(error, botocore.SSLError):
        return _Story(
            "the TLS certificate of AWS could not be checked",
            said,
            "check the proxy, AWS_CA_BUNDLE and this computer's clock",
        )
    if isinstance(error, botocore.ProxyConnectionError):
        return _Story("the proxy can't be reached", said, "check HTTPS_PROXY and NO_PROXY")
    if isinstance(error, _NETWORK):
        return _unreachable(error)
    if _is_unreadable(error):
        return _Story(
            "what answered is not AWS",
            said.partition("\n")[0][:200],
            "check the proxy (HTTPS_PROXY), and `aws.endpoint_url` if it is set: the answer is a web page",
        )
    return _Story("the AWS call failed", f"{type(error).__name__}: {said}", "see the cause")


def _unreachable(error: Exception) -> _Story:
    url = str(getattr(error, "kwargs", {}).get("endpoint_url", "") or "AWS")
    what = (
        f"{url} can't be reached" if isinstance(error, botocore.EndpointConnectionError) else f"{url} does not answer"
    )
    if _is_loopback(url):
        return _Story(
            what,
            "nothing listens on this address of this computer, or it is not an AWS API",
            f"start what serves {url}, or correct `aws.endpoint_url` (or AWS_ENDPOINT_URL)",
        )
    return _Story(what, str(error), "check the network, the proxy, and that the region in `aws.region` exists")


def _is_unreadable(error: Exception) -> bool:
    """Return whether botocore could not read an answer. Only a client loads the module with that error."""
    parsers = sys.modules.get("botocore.parsers")
    return parsers is not None and isinstance(error, parsers.ResponseParserError)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
