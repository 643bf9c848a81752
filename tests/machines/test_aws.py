"""The session that pio-tf.hcl describes, and the errors if AWS can't be used."""

from __future__ import annotations

import socket
import threading
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions as botocore
from botocore.handlers import BUILTIN_HANDLERS
from botocore.session import Session

from pio_tf.aws.clients import open_session
from pio_tf.aws.descriptions import SERVICES
from pio_tf.aws.errors import explain
from pio_tf.aws.session import Aws, aws_errors
from pio_tf.config.blocks import AwsBlock
from pio_tf.errors import AwsError, ConfigError
from tests.machines.fake_ec2 import client_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from botocore.awsrequest import AWSPreparedRequest

    from pio_tf.sandbox.aws import LocalAws
    from tests.machines.conftest import MakeConfig

ROLE = "arn:aws:iam::123456789012:role/pio-tf"


def seen_headers(aws: Aws) -> dict[str, str]:
    """Return the headers of a call as botocore sends it."""
    seen: dict[str, str] = {}

    def remember(request: AWSPreparedRequest, **_event: object) -> None:
        for key, value in request.headers.items():
            seen[key] = str(value)

    client = aws.client("ec2")
    client.meta.events.register("before-send.ec2.*", remember)
    client.describe_vpcs()
    return seen


def test_the_client_uses_the_region_the_endpoint_and_the_credentials_file(
    local_config: MakeConfig, local_aws: LocalAws
) -> None:
    aws = Aws(local_config())
    headers = seen_headers(aws)
    assert aws.client("ec2").meta.region_name == aws.region == "eu-west-1"
    assert aws.client("ec2").meta.endpoint_url == local_aws.url
    assert "Credential=AKIATEST/" in headers["Authorization"]
    assert "/eu-west-1/ec2/" in headers["Authorization"]
    assert "pio-tf/" in headers["User-Agent"]


def test_a_client_is_made_once(make_config: MakeConfig) -> None:
    aws = Aws(make_config())
    assert aws.client("ec2") is aws.client("ec2")


def test_a_profile_of_the_credentials_file_is_used(local_config: MakeConfig, credentials: Path) -> None:
    with credentials.open("a") as file:
        file.write("[training]\naws_access_key_id = AKIATRAINING\naws_secret_access_key = secret\n")
    assert "Credential=AKIATRAINING/" in seen_headers(Aws(local_config(aws={"profile": "training"})))["Authorization"]


def test_the_role_is_assumed_once_and_its_credentials_are_used(local_config: MakeConfig, local_aws: LocalAws) -> None:
    before = local_aws.calls["sts", "AssumeRole"]
    aws = Aws(local_config(aws={"assume_role": {"role_arn": ROLE, "external_id": "x1"}}))
    headers = seen_headers(aws)
    aws.client("ec2").describe_vpcs()
    assert "Credential=ASIA" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"]
    assert local_aws.calls["sts", "AssumeRole"] == before + 1


def test_a_role_that_the_profile_names_is_assumed(
    local_config: MakeConfig, local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text(
        f"[profile ops]\nrole_arn = {ROLE}\nsource_profile = default\nregion = us-east-1\n"
        f"services = local\n[services local]\nsts =\n  endpoint_url = {local_aws.url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", local_aws.url)
    headers = seen_headers(Aws(local_config(aws={"profile": "ops"})))
    assert "Credential=ASIA" in headers["Authorization"]
    assert "/eu-west-1/ec2/" in headers["Authorization"]  # pio-tf.hcl's region, not the profile's


def test_a_credentials_file_that_does_not_exist_is_named(make_config: MakeConfig, tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    with pytest.raises(AwsError, match="nowhere does not exist") as caught:
        Aws(make_config(aws={"credentials_file": str(path)})).client("ec2")
    assert "aws.credentials_file" in caught.value.next_step


def test_a_profile_that_does_not_exist_is_named(make_config: MakeConfig) -> None:
    with pytest.raises(AwsError, match='the AWS profile "nobody" does not exist') as caught:
        Aws(make_config(aws={"profile": "nobody"})).client("ec2")
    assert "aws.profile" in caught.value.next_step


def test_no_credentials_at_all(make_config: MakeConfig, credentials: Path) -> None:
    credentials.write_text("")
    client = Aws(make_config(aws={"endpoint_url": "http://127.0.0.1:1"})).client("ec2")
    with pytest.raises(AwsError, match="no AWS credentials were found") as caught, aws_errors():
        client.describe_vpcs()
    assert "aws sso login" in caught.value.next_step


def test_a_role_without_credentials_to_assume_it_with(make_config: MakeConfig, credentials: Path) -> None:
    credentials.write_text("")
    role = {"assume_role": {"role_arn": ROLE}, "endpoint_url": "http://127.0.0.1:1"}
    with pytest.raises(AwsError, match="no AWS credentials were found"), aws_errors():
        Aws(make_config(aws=role)).client("ec2").describe_vpcs()


def test_an_endpoint_where_nothing_listens_is_named_at_once(make_config: MakeConfig) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    client = Aws(make_config(aws={"endpoint_url": url})).client("ec2")
    attempts: list[str] = []
    client.meta.events.register("before-send.ec2", lambda event_name, **_request: attempts.append(event_name))
    with pytest.raises(AwsError, match=f"{url}/ can't be reached") as caught, aws_errors():
        client.describe_vpcs()
    assert len(attempts) == 1  # six would wait some seconds between them
    assert "`aws.endpoint_url`" in caught.value.next_step


def test_an_endpoint_that_is_no_aws_is_an_error_of_ours(make_config: MakeConfig, local_aws: LocalAws) -> None:
    client = Aws(make_config(aws={"endpoint_url": local_aws.url})).client("ec2")
    with pytest.raises(AwsError) as caught, aws_errors("looking"):
        client.describe_instances(InstanceIds=["i-0000000000000dead"])
    assert caught.value.what.startswith("looking: AWS refused DescribeInstances")
    assert caught.value.details["code"] == "InvalidInstanceID.NotFound"
    assert caught.value.details["request_id"]


def test_a_page_for_people_in_place_of_aws_is_no_bug_of_ours(make_config: MakeConfig) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><p>Please log in to the network</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            client = Aws(make_config(aws={"endpoint_url": f"http://127.0.0.1:{server.server_port}"})).client("ec2")
            with pytest.raises(AwsError, match="what answered is not AWS") as caught, aws_errors():
                client.describe_vpcs()
        finally:
            server.shutdown()
    assert "proxy" in caught.value.next_step


def test_a_region_that_does_not_exist(make_config: MakeConfig) -> None:
    error = botocore.EndpointConnectionError(endpoint_url="https://ec2.eu-nowhere-1.amazonaws.com/", error="no name")
    said = explain(error)
    assert said.what == "https://ec2.eu-nowhere-1.amazonaws.com/ can't be reached"
    assert "aws.region" in said.next_step
    assert "network" in said.next_step


CASES: list[tuple[str, str, str, str, str]] = [
    ("ExpiredToken", "DescribeInstances", "", "credentials have expired", "log in again"),
    ("RequestExpired", "DescribeInstances", "", "credentials have expired", "log in again"),
    ("AuthFailure", "DescribeInstances", "", "does not accept the credentials", "enabled the region"),
    ("InvalidClientTokenId", "AssumeRole", "", "does not accept the credentials", "access key"),
    ("OptInRequired", "DescribeInstances", "", "may not use this region", "enable the region"),
    (
        "UnauthorizedOperation",
        "StopInstances",
        "",
        "permission ec2:StopInstances",
        "add ec2:StopInstances to the policy",
    ),
    (
        "UnauthorizedOperation",
        "RunInstances",
        "User: arn:aws:iam::1:user/u is not authorized to perform: ec2:CreateTags on resource: *",
        "permission ec2:CreateTags",
        "add ec2:CreateTags",
    ),
    ("AccessDenied", "AssumeRole", "", "permission sts:AssumeRole", "trust policy"),
    ("RequestLimitExceeded", "StartInstances", "", "limits the rate of StartInstances", "in a minute"),
    ("InsufficientInstanceCapacity", "StartInstances", "", "no capacity", "another instance type"),
    ("VcpuLimitExceeded", "StartInstances", "", "quota", "higher quota"),
    ("InternalError", "StopInstances", "", "could not answer StopInstances", "in a minute"),
    ("SomethingNew", "StopInstances", "odd", "AWS refused StopInstances", "correct what AWS names"),
]


@pytest.mark.parametrize(("code", "operation", "message", "what", "next_step"), CASES)
def test_each_refusal_of_aws_says_what_it_means_and_what_to_do(
    code: str, operation: str, message: str, what: str, next_step: str
) -> None:
    with pytest.raises(AwsError) as caught, aws_errors():
        raise client_error(code, message or "no", operation=operation)
    assert what in caught.value.what
    assert next_step in caught.value.next_step
    assert code in caught.value.cause
    assert caught.value.details["request_id"] == "req-1"
    assert caught.value.details["operation"] == operation


def test_the_encoded_half_of_a_refusal_is_kept_out_of_the_message_and_in_the_details() -> None:
    message = "You are not authorized to perform this operation. Encoded authorization failure message: " + "Xy9_" * 300
    said = explain(client_error("UnauthorizedOperation", message, operation="StartInstances"))
    assert "Xy9_" not in str(said)
    assert said.details["encoded_message"] == "Xy9_" * 300
    assert "decode-authorization-message" in said.next_step


LOCAL: list[tuple[Callable[[], Exception], str]] = [
    (lambda: botocore.PartialCredentialsError(provider="env", cred_var="x"), "incomplete"),
    (lambda: botocore.UnauthorizedSSOTokenError(), "single sign-on"),
    (lambda: botocore.TokenRetrievalError(provider="sso", error_msg="x"), "single sign-on"),
    (lambda: botocore.CredentialRetrievalError(provider="process", error_msg="x"), "could not be fetched"),
    (lambda: botocore.ConfigParseError(path="/x"), "can't be read"),
    (lambda: botocore.SSLError(endpoint_url="https://x", error=OSError("bad")), "TLS"),
    (lambda: botocore.ProxyConnectionError(proxy_url="http://proxy", error="x"), "proxy"),
    (lambda: botocore.ReadTimeoutError(endpoint_url="https://x"), "https://x does not answer"),
    (lambda: botocore.ConnectTimeoutError(endpoint_url="https://x"), "https://x does not answer"),
    (lambda: botocore.ConnectionClosedError(endpoint_url="https://x"), "https://x does not answer"),
    (lambda: botocore.ParamValidationError(report="x"), "the AWS call failed"),
]


@pytest.mark.parametrize(("make", "what"), LOCAL)
def test_each_error_of_this_side_says_what_it_means_and_what_to_do(make: Callable[[], Exception], what: str) -> None:
    error = make()
    said = explain(error)
    assert what in said.what
    assert said.cause
    assert said.next_step
    assert said.details["error"] == type(error).__name__


class Answering:
    """An AWS that fails every call in the same way, and counts them by the access key that signed them.

    Args:
        but: the access key that it accepts.
        works: the action that it answers, and the answer.
    """

    def __init__(self, code: str, status: int, *, but: str = "", works: tuple[str, str] = ("none", "")) -> None:
        self.keys: list[str] = []
        keys = self.keys

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
                key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
                keys.append(key)
                answered = f"Action={works[0]}&" in asked
                good = key == but or answered
                error = f"<Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors>"
                self.send_response(200 if good else status)
                self.end_headers()
                self.wfile.write(f"<Response>{works[1] if answered else '' if good else error}</Response>".encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Answering:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_lack_of_capacity_is_not_asked_for_again_within_seconds(make_config: MakeConfig) -> None:
    with Answering("InsufficientInstanceCapacity", 500) as server:
        client = Aws(make_config(aws={"endpoint_url": server.url})).client("ec2")
        with pytest.raises(AwsError, match="no capacity"), aws_errors():
            client.start_instances(InstanceIds=["i-0123"])
    assert len(server.keys) == 1


def test_access_keys_that_expire_are_read_again_from_their_file(make_config: MakeConfig, credentials: Path) -> None:
    with Answering("RequestExpired", 400, but="AKIANEW") as server:
        client = Aws(make_config(aws={"endpoint_url": server.url})).client("ec2")
        with pytest.raises(AwsError, match="expired"), aws_errors():
            client.describe_vpcs()
        assert server.keys == ["AKIATEST"]
        credentials.write_text("[default]\naws_access_key_id = AKIANEW\naws_secret_access_key = secret\n")
        client.describe_vpcs()
    assert server.keys == ["AKIATEST", "AKIATEST", "AKIANEW"]


def test_aws_errors_is_a_decorator_too() -> None:
    @aws_errors("counting")
    def fail() -> None:
        raise client_error("Throttling", operation="StopInstances")

    with pytest.raises(AwsError, match="counting: AWS limits the rate of StopInstances"):
        fail()


def test_a_mistake_of_the_program_is_not_dressed_up_as_an_aws_error() -> None:
    with pytest.raises(KeyError), aws_errors():
        raise KeyError("x")


def test_credentials_of_another_account_are_refused_before_any_other_call(
    local_config: MakeConfig, local_aws: LocalAws
) -> None:
    before = local_aws.calls["ec2", "DescribeVpcs"]
    aws = Aws(local_config(aws={"allowed_account_ids": ["111122223333", "444455556666"]}))
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            aws.client("ec2").describe_vpcs()
        assert "account 123456789012, and aws.allowed_account_ids names 111122223333, 444455556666" in caught.value.what
    assert local_aws.calls["ec2", "DescribeVpcs"] == before


def test_credentials_of_an_allowed_account_are_asked_for_it_once(local_config: MakeConfig, local_aws: LocalAws) -> None:
    before = local_aws.calls["sts", "GetCallerIdentity"]
    aws = Aws(local_config(aws={"allowed_account_ids": ["123456789012"]}))
    for service in ("ec2", "s3", "scheduler"):
        aws.client(service)
    assert local_aws.calls["sts", "GetCallerIdentity"] == before + 1


OWNED = "<reservationSet><item><ownerId>{}</ownerId><instancesSet/></item></reservationSet>"


@pytest.mark.parametrize(("owner", "refused"), [("111122223333", False), ("444455556666", True)])
def test_without_sts_the_owner_of_the_machines_tells_whether_the_account_is_allowed(
    make_config: MakeConfig, credentials: Path, owner: str, refused: bool
) -> None:
    with Answering("ServiceUnavailable", 503, works=("DescribeInstances", OWNED.format(owner))) as server:
        aws = Aws(make_config(aws={"endpoint_url": server.url, "allowed_account_ids": ["111122223333"]}))
        expected = pytest.raises(ConfigError, match=f"account {owner}") if refused else nullcontext()
        with expected:
            aws.client("ec2").describe_instances()
    assert len(server.keys) == 2, "STS is asked once: what stops machines does not wait for it"


def test_a_session_answers_events_as_one_of_botocores() -> None:
    def handlers(session: Session, event: str) -> list[object]:
        original: Any = session
        return list(original._original_handler._handlers.prefix_search(event))

    ours, theirs = open_session(AwsBlock(region="eu-west-1")), Session()
    model = theirs.get_service_model
    kinds = {name.partition(".")[0] for name, *_ in BUILTIN_HANDLERS}
    services = {(kind, model(service).service_id.hyphenize()) for kind in kinds for service in SERVICES}
    events = {f"{kind}.{service}.Any" for kind, service in services}
    events |= {name for name, *_ in BUILTIN_HANDLERS if tuple(name.split(".")[:2]) in services or "." not in name}
    answered = {event: handlers(ours, event) for event in events}
    assert answered == {event: handlers(theirs, event) for event in events}
    assert sum(map(bool, answered.values())) > len(SERVICES)
