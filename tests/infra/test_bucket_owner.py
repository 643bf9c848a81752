"""The owner that each of pio-tf's calls to S3 expects of its bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.aws.bucket_owner import named_owner
from pio_tf.aws.objects import Objects
from pio_tf.aws.session import Aws
from pio_tf.config.load import load_config
from pio_tf.errors import AwsError
from pio_tf.infra.backend.s3 import open_objects, s3_backend
from pio_tf.infra.backend.state_bucket import prepare_bucket
from pio_tf.mirror import Pusher
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.runs.run_copies import RunBucket, Upload
from tests.support.config_samples import text_with
from tests.support.deployments import Recorder
from tests.support.state_bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config

ACCOUNT = "123456789012"
STATES = f"pio-tf-state-{ACCOUNT}-eu-west-1"


class SeenOwners(LocalAws):
    """A local AWS that keeps each request to S3: its method and bucket, and the owner that it expects."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
            bucket = environ["PATH_INFO"].split("/")[1]
            self.seen.append((environ["REQUEST_METHOD"], bucket, environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", "")))
        return super()._application(environ, start_response)


@pytest.fixture(scope="module")
def aws() -> Iterator[SeenOwners]:
    with SeenOwners() as local:
        yield local  # type: ignore[misc]


@pytest.fixture
def config(aws: SeenOwners, tmp_path: Path) -> Config:
    """Return a configuration whose state is in a bucket that pio-tf has named."""
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = testing\naws_secret_access_key = x\n")
    block = f'aws {{\n region = "eu-west-1"\n endpoint_url = "{aws.url}"\n credentials_file = "credentials"\n}}\n'
    state = f'terraform {{\n backend "s3" {{\n  bucket = "{STATES}"\n }}\n}}\n'
    (tmp_path / "pio-tf.hcl").write_text(text_with(aws=block, terraform=state))
    found = load_config(tmp_path / "pio-tf.hcl", environ={})
    prepare_bucket(found, None, reporter=Recorder())
    return found


def test_every_call_of_init_expects_the_account_of_the_credentials(aws: SeenOwners, config: Config) -> None:
    aws.seen.clear()
    prepare_bucket(config, None, reporter=Recorder())
    assert {(bucket, owner) for _method, bucket, owner in aws.seen} == {(STATES, ACCOUNT)}
    block = config.model_copy(update={"terraform": config.terraform.model_copy(update={"backend": None})})
    aws.seen.clear()
    prepare_bucket(block, "a-name-of-ours", reporter=Recorder())
    created = [one for one in aws.seen if one[2] != ACCOUNT]
    assert created == [("PUT", "a-name-of-ours", "")]  # CreateBucket has no such parameter
    assert len(aws.seen) > 5


def test_state_claims_and_runs_expect_the_account_in_the_buckets_name(
    aws: SeenOwners, config: Config, tmp_path: Path
) -> None:
    backend = s3_backend(config)
    assert backend is not None
    objects = open_objects(config, backend)
    aws.seen.clear()
    _use_everything(objects, tmp_path)
    assert {method for method, _bucket, _owner in aws.seen} == {"GET", "PUT", "DELETE"}
    assert {owner for _method, _bucket, owner in aws.seen} == {ACCOUNT}


def test_uploads_and_mirrors_expect_it_too(aws: SeenOwners, config: Config, tmp_path: Path) -> None:
    s3 = Aws(config).client("s3")
    aws.seen.clear()
    Upload(s3, f"s3://{STATES}/runs").check()
    Pusher(s3, f"s3://{STATES}/mirror").push(tmp_path, [])
    assert aws.seen == [("HEAD", STATES, ACCOUNT)] * 2


def test_a_bucket_that_the_user_names_may_be_of_another_account(
    aws: SeenOwners, config: Config, tmp_path: Path
) -> None:
    s3: Any = Aws(config).client("s3")
    s3.create_bucket(Bucket="of-the-platform", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws.seen.clear()
    _use_everything(Objects(s3, "of-the-platform"), tmp_path)
    assert {owner for _method, _bucket, owner in aws.seen} == {""}


@pytest.mark.parametrize(
    "name",
    ["states", f"logs-{ACCOUNT}-eu-west-1", "pio-tf-state-12-eu-west-1", f"pio-tf-state-{ACCOUNT}", f"{STATES}-old"],
)
def test_only_the_names_that_pio_tf_gives_say_whose_a_bucket_is(name: str) -> None:
    assert named_owner(name) == ""
    assert named_owner(STATES) == named_owner(f"pio-tf-state-{ACCOUNT}-us-gov-west-1") == ACCOUNT


def test_a_refusal_of_such_a_bucket_says_that_it_may_be_of_another_account(config: Config) -> None:
    backend = s3_backend(config)
    assert backend is not None
    objects = open_objects(config, backend)
    bucket = Bucket(objects.s3, STATES)
    bucket.deny("s3:GetObject", key="secret")
    try:
        with pytest.raises(AwsError, match="is not allowed") as caught:
            objects.read("secret")
    finally:
        bucket.allow()
    assert f"if {STATES} is not of the account {ACCOUNT}, as its name says, use another" in caught.value.next_step


def _use_everything(objects: Objects, directory: Path) -> None:
    runs = RunBucket(objects, "pio-tf/ur/")
    record = RunRecord(
        id="20261123T020000Z-3f9c",
        cluster="ur",
        client=Client("ann", "laptop", 17, "2026-11-23T18:00:00Z"),
        command="pio train",
        engine_dir="/engine",
    )
    (directory / "log").write_text("a\n")
    (directory / "record.json").write_text(record.to_json())
    runs.begin(record)
    runs.put(record, directory)
    assert runs.records()
    assert runs.fetch_log(record.id, directory / "copy" / "log")
    etag = objects.create("claim", b"1")
    assert etag
    etag = objects.replace("claim", b"2", etag=etag)
    assert etag
    assert objects.read("claim")
    objects.remove("claim", etag=etag)
