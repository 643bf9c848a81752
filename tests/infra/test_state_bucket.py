"""The bucket for states: made once and completely; a foreign one refused; an existing one checked."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.events import Done, Warned
from pio_tf.infra.backend.state_bucket import PURPOSE, PURPOSE_TAG, SETTINGS, prepare_bucket
from tests.support.deployments import Recorder
from tests.support.state_bucket import client, with_backend

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from tests.support.site import Site


OURS = {"Key": PURPOSE_TAG, "Value": PURPOSE}


def fit(s3: Any, bucket: str) -> dict[str, bool]:  # noqa: ANN401 - a botocore client
    """Return the settings of a bucket, except TLS, which a local AWS lacks."""
    return {setting.lack: not setting.missing(s3, bucket) for setting in SETTINGS if not setting.needs_tls}


def test_a_bucket_is_made_versioned_encrypted_closed_and_tagged(site: Site) -> None:
    recorder = Recorder()
    found = prepare_bucket(site.write(), None, reporter=recorder)
    s3 = client(site.url)
    assert (found.name, found.region, found.created) == ("pio-tf-state-123456789012-us-east-1", "us-east-1", True)
    assert set(fit(s3, found.name).values()) == {True}
    assert s3.get_bucket_tagging(Bucket=found.name)["TagSet"] == [OURS]
    assert s3.get_bucket_versioning(Bucket=found.name)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=found.name)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    assert isinstance(recorder.events[-1], Done)
    assert found.block(site.write()) == '  backend "s3" {\n    bucket = "pio-tf-state-123456789012-us-east-1"\n  }\n'


def test_a_second_time_changes_nothing(site: Site) -> None:
    prepare_bucket(site.write(), "s3://twice", reporter=Recorder())
    s3 = client(site.url)
    s3.put_object(Bucket="twice", Key="pio-tf/demo/terraform.tfstate", Body=b"{}")
    again = prepare_bucket(site.write(), "twice", reporter=Recorder())
    assert not again.created
    assert s3.list_objects_v2(Bucket="twice")["KeyCount"] == 1


def test_an_interrupted_creation_is_completed_the_next_time(site: Site) -> None:
    s3 = client(site.url)
    s3.create_bucket(Bucket="half-made")
    s3.put_bucket_tagging(Bucket="half-made", Tagging={"TagSet": [OURS]})
    recorder = Recorder()
    prepare_bucket(site.write(), "half-made", reporter=recorder)
    assert set(fit(s3, "half-made").values()) == {True}
    assert "was incomplete and is now set up" in str(recorder.events[-1])


def test_a_bucket_that_pio_tf_did_not_create_is_left_alone_and_its_lacks_are_listed(site: Site) -> None:
    s3 = client(site.url)
    s3.create_bucket(Bucket="of-the-team")
    s3.put_bucket_versioning(Bucket="of-the-team", VersioningConfiguration={"Status": "Suspended"})
    before = fit(s3, "of-the-team")
    with pytest.raises(ConfigError, match="of-the-team is not fit for a state") as caught:
        prepare_bucket(site.write(), "of-the-team", reporter=Recorder())
    assert "the public is not kept out; it is not versioned" in caught.value.what
    assert "aws s3api put-bucket-versioning --bucket of-the-team" in caught.value.next_step
    assert "nothing in it was changed" in caught.value.cause
    assert fit(s3, "of-the-team") == before

    for setting in SETTINGS:
        if not setting.needs_tls and (arguments := setting.missing(s3, "of-the-team")):
            setting.put(s3, "of-the-team", arguments)
    assert not prepare_bucket(site.write(), "of-the-team", reporter=Recorder()).created


def test_a_bucket_of_another_account_is_refused(site: Site) -> None:
    sts = boto3.client(
        "sts", region_name="us-east-1", endpoint_url=site.url, aws_access_key_id="x", aws_secret_access_key="x"
    )
    role = sts.assume_role(RoleArn="arn:aws:iam::210987654321:role/other", RoleSessionName="other")["Credentials"]
    theirs = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=site.url,
        aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"],
    )
    theirs.create_bucket(Bucket="of-somebody-else")
    with pytest.raises(ConfigError, match="of-somebody-else is not one") as caught:
        prepare_bucket(site.write(), "of-somebody-else", reporter=Recorder())
    assert "choose another name with --bucket" in caught.value.next_step
    assert "Status" not in theirs.get_bucket_versioning(Bucket="of-somebody-else")


def test_a_bucket_of_another_region_is_reported_with_the_line_that_is_missing(site: Site) -> None:
    elsewhere = boto3.client(
        "s3", region_name="eu-west-1", endpoint_url=site.url, aws_access_key_id="x", aws_secret_access_key="x"
    )
    elsewhere.create_bucket(Bucket="in-ireland", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(ConfigError, match="is in eu-west-1, not in us-east-1") as caught:
        prepare_bucket(site.write(), "in-ireland", reporter=Recorder())
    assert 'set region = "eu-west-1" in terraform.backend' in caught.value.next_step


def test_the_bucket_of_pio_tf_hcl_is_the_one_and_its_region_too(site: Site) -> None:
    config = with_backend(site, "named-there", 'region = "eu-west-1"')
    found = prepare_bucket(config, None, reporter=Recorder())
    assert (found.name, found.region) == ("named-there", "eu-west-1")
    assert client(site.url).get_bucket_location(Bucket="named-there")["LocationConstraint"] == "eu-west-1"
    assert found.block(config) == '  backend "s3" {\n    bucket = "named-there"\n    region = "eu-west-1"\n  }\n'
    with pytest.raises(ConfigError, match="is named-there, not another") as caught:
        prepare_bucket(config, "another", reporter=Recorder())
    assert caught.value.what.startswith("pio-tf.hcl:")


@pytest.mark.parametrize("name", ["Bucket", "s3://bucket/key", "x", "a_b"])
def test_what_is_no_name_of_a_bucket_is_refused_before_aws_is_asked(site: Site, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a bucket"):
        prepare_bucket(site.write(), name, reporter=Recorder())


def test_of_clients_that_make_it_at_once_both_find_it_whole(site: Site) -> None:
    config = site.write()
    errors: list[BaseException] = []

    def prepare() -> None:
        try:
            prepare_bucket(config, "made-by-two", reporter=Recorder())
        except BaseException as error:  # noqa: BLE001 - for the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(fit(client(site.url), "made-by-two").values()) == {True}


def test_over_plain_http_a_warning_says_that_tls_is_not_required(site: Site) -> None:
    recorder = Recorder()
    prepare_bucket(site.write(), "over-http", reporter=recorder)
    assert any(isinstance(event, Warned) and "plain HTTP" in event.message for event in recorder.events)


def test_on_aws_the_bucket_refuses_what_does_not_come_over_tls(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: Config = site.write()
    config.path.write_text(config.path.read_text().replace(f'endpoint_url     = "{site.url}"', ""))
    on_aws = load_config(config.path, environ={})
    with mock_aws():
        found = prepare_bucket(on_aws, "with-tls", reporter=Recorder())
        s3 = boto3.client("s3", region_name="us-east-1")
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=found.name)["Policy"])["Statement"]
        prepare_bucket(on_aws, "with-tls", reporter=Recorder())
        assert len(json.loads(s3.get_bucket_policy(Bucket=found.name)["Policy"])["Statement"]) == 1
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == ["arn:aws:s3:::with-tls", "arn:aws:s3:::with-tls/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
