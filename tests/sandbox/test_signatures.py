"""The local AWS accepts its own access key only, as AWS does."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from pio_tf.errors import SandboxError
from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.aws import LocalAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = AccessKey.new()
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
ROLE = "arn:aws:iam::123456789012:role/job"


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws(transition_seconds=0, access_key=KEY) as running:
        yield running


def client(aws: LocalAws, service: Any, key: AccessKey = KEY, token: str | None = None) -> Any:  # noqa: ANN401 - boto3
    session = boto3.Session(key.id, key.secret, token, region_name="eu-west-1")
    return session.client(service, endpoint_url=aws.url, config=ONE_ATTEMPT)


CALLS: dict[str, Callable[[Any], object]] = {
    "ec2": lambda ec2: ec2.describe_instances(Filters=[{"Name": "tag:a b", "Values": ["ü/*&=+"]}]),
    "sts": lambda sts: sts.get_caller_identity(),
    "iam": lambda iam: iam.list_roles(PathPrefix="/pio-tf/"),
    "s3": lambda s3: s3.list_buckets(),
    "scheduler": lambda scheduler: scheduler.list_schedules(NamePrefix="pio-tf-a b+c"),
    "ssm": lambda ssm: ssm.describe_parameters(),
    "secretsmanager": lambda manager: manager.list_secrets(),
}
CODES = {
    "ec2": ("AuthFailure", "AuthFailure"),
    "sts": ("InvalidClientTokenId", "SignatureDoesNotMatch"),
    "iam": ("InvalidClientTokenId", "SignatureDoesNotMatch"),
    "s3": ("InvalidAccessKeyId", "SignatureDoesNotMatch"),
    "scheduler": ("UnrecognizedClientException", "InvalidSignatureException"),
    "ssm": ("UnrecognizedClientException", "InvalidSignatureException"),
    "secretsmanager": ("UnrecognizedClientException", "InvalidSignatureException"),
}


@pytest.mark.parametrize("service", CALLS)
def test_its_own_key_is_accepted_and_any_other_refused_as_aws_does(aws: LocalAws, service: str) -> None:
    CALLS[service](client(aws, service))
    for key, code in zip((AccessKey.new(), AccessKey(KEY.id, AccessKey.new().secret)), CODES[service], strict=True):
        before = sum(aws.calls.values())
        with pytest.raises(ClientError) as caught:
            CALLS[service](client(aws, service, key))
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == (401 if service == "ec2" else 403)
        assert sum(aws.calls.values()) == before


def test_objects_of_any_name_and_size_are_written_and_read(aws: LocalAws) -> None:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket="names", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for name in ("plain", "a b+c/ü//d%20e", "q?x=1&y", "~-_.!*'()"):
        s3.put_object(Bucket="names", Key=name, Body=name.encode() * 100_000, Metadata={"by": "ann"})
        assert s3.get_object(Bucket="names", Key=name)["Body"].read() == name.encode() * 100_000
    found = s3.list_objects_v2(Bucket="names", Prefix="a b+c/ü")["Contents"]
    assert [one["Key"] for one in found] == ["a b+c/ü//d%20e"]
    s3.head_bucket(Bucket="names")
    with pytest.raises(ClientError, match="403"):
        client(aws, "s3", AccessKey.new()).head_bucket(Bucket="names")


def test_names_in_paths_of_other_services_are_signed_too(aws: LocalAws) -> None:
    scheduler = client(aws, "scheduler")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        scheduler.get_schedule(Name="a.b_c-d")
    lambdas = client(aws, "lambda")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        lambdas.get_function(FunctionName="arn:aws:lambda:eu-west-1:123456789012:function:none")


def test_a_request_without_a_signature_is_refused_whatever_it_asks_for(aws: LocalAws) -> None:
    for path, content in (("/moto-api/reset", b""), ("/", b"Action=DescribeInstances&Version=2016-11-15"), ("/", None)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(aws.url + path, data=content)  # noqa: S310 - http on loopback
        assert caught.value.code == 403
        assert b"<Code>MissingAuthenticationToken</Code>" in caught.value.read()


def signed(aws: LocalAws, path: str) -> AWSRequest:
    request = AWSRequest("GET", aws.url + path)
    SigV4Auth(Credentials(KEY.id, KEY.secret), "scheduler", "eu-west-1").add_auth(request)
    return request


def status(aws: LocalAws, path: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(aws.url + path, headers=headers)  # noqa: S310 - http on loopback
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_signature_is_good_for_its_own_request_only(aws: LocalAws) -> None:
    headers = dict(signed(aws, "/schedules?MaxResults=5").headers.items())
    assert status(aws, "/schedules?MaxResults=5", headers) == 200
    assert status(aws, "/schedules?MaxResults=6", headers) == 403
    assert status(aws, "/schedule-groups?MaxResults=5", headers) == 403
    later = f"{datetime.now(tz=timezone.utc):%Y%m%dT}235959Z"
    assert status(aws, "/schedules?MaxResults=5", {**headers, "X-Amz-Date": later}) == 403


def test_keys_that_sts_makes_are_accepted_with_their_token_only(aws: LocalAws) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    client(aws, "iam").create_role(RoleName="job", AssumeRolePolicyDocument=trust)
    made = client(aws, "sts").assume_role(RoleArn=ROLE, RoleSessionName="test")["Credentials"]
    key = AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
    assert client(aws, "sts", key, made["SessionToken"]).get_caller_identity()["Arn"].endswith("assumed-role/job/test")
    for wrong, token in ((key, None), (key, "other"), (AccessKey(key.id, KEY.secret), made["SessionToken"])):
        with pytest.raises(ClientError):
            client(aws, "sts", wrong, token).get_caller_identity()


def test_every_key_is_another_one_and_its_file_is_private(tmp_path: Path) -> None:
    path, key = tmp_path / "credentials", AccessKey.new()
    assert key != AccessKey.new()
    assert key.secret not in repr(key)
    key.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert AccessKey.read(path) == key
    path.write_text("[default]\n")
    with pytest.raises(SandboxError, match="has no access key of the sandbox"):
        AccessKey.read(path)
