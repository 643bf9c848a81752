"""The bucket that states are kept in: made once for an account, or looked at.

It is in no stack: Terraform could not make the place of its own state, and no plan could then remove it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pio_tf.aws.objects import arn
from pio_tf.aws.session import Aws, aws_errors
from pio_tf.errors import ConfigError
from pio_tf.events import Done, Step, Warned
from pio_tf.infra.backend.s3 import s3_backend
from pio_tf.infra.hcl_writer import attributes
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.infra.hcl_writer import Value

PURPOSE_TAG, PURPOSE = "pio-tf:purpose", "terraform-state"
"""By which a bucket is known as one that pio-tf has made."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@dataclass(frozen=True)
class StateBucket:
    """A bucket that is fit for states."""

    name: str
    region: str
    created: bool

    def block(self, config: Config) -> str:
        """The lines for the ``terraform`` block of pio-tf.hcl."""
        values: dict[str, Value] = {"bucket": self.name}
        if self.region != config.aws.region:
            values["region"] = self.region
        return '  backend "s3" {\n' + attributes(values, indent=4) + "  }\n"


@dataclass(frozen=True)
class Setting:
    """Something that a bucket for states must have."""

    lack: str
    """What is wrong without it."""
    holds: Callable[[Any, str], bool]
    put: Callable[[Any, str], object]
    by_hand: str
    """The AWS CLI's command, with ``{bucket}``."""
    needs_tls: bool = False
    """Whether it would shut out a client that comes over plain HTTP."""


def prepare_bucket(config: Config, name: str | None, *, reporter: Reporter) -> StateBucket:
    """Make the bucket, unless it is there; see that it is fit. Safe to repeat.

    Args:
        config: its ``aws`` block says where and as whom; its backend, if it has one, which bucket.
        name: the bucket, with or without ``s3://``; default: the backend's, else ``pio-tf-state-<account>-<region>``.

    Raises:
        ConfigError: it is somebody else's; it is in another region; it was made by somebody else than pio-tf, and is
            not fit; pio-tf.hcl names another one. Nothing was changed.
        AwsError: AWS does not do it.
    """
    named, aws, region = _wanted(config, name)
    sts: Any = aws.client("sts")
    s3: Any = aws.client("s3")
    with aws_errors("asking which account this is", service="sts"):
        account = str(sts.get_caller_identity()["Account"])
    bucket = named or f"pio-tf-state-{account}-{region}"
    created = False
    if not _is_there(s3, bucket, account=account, region=region):
        reporter(Step(f"Making the bucket {bucket} in {region}"))
        created = _make(s3, bucket, region=region)
    settings = [setting for setting in SETTINGS if not setting.needs_tls or _is_tls(s3)]
    if len(settings) < len(SETTINGS):
        reporter(Warned("the bucket is reached over plain HTTP here, so it is not told to refuse that"))
    with aws_errors(f"looking at the bucket {bucket}", service="s3"):
        lacking = [setting for setting in settings if not setting.holds(s3, bucket)]
        if lacking and not created and not _is_ours(s3, bucket):
            raise _unfit(bucket, lacking)
    with aws_errors(f"setting up the bucket {bucket}", service="s3"):
        for setting in lacking:
            setting.put(s3, bucket)
    done = "was made" if created else "was not whole, and is now" if lacking else "is there already"
    reporter(Done(f"the bucket {bucket} {done}: versioned, encrypted, closed to the public"))
    return StateBucket(bucket, region, created)


def _wanted(config: Config, name: str | None) -> tuple[str | None, Aws, str]:
    backend = config.terraform.backend
    if backend is not None and backend.type != "s3":
        raise ConfigError(
            f"{config.where('terraform.backend')}: terraform.backend is {backend.type}, which needs no bucket",
            next_step='make it `backend "s3"`, or keep it and leave --backend out',
        )
    name = name.removeprefix("s3://").rstrip("/") if name else None
    if name is not None and not _NAME.fullmatch(name):
        raise ConfigError(
            f"--bucket: {name!r} is no name of a bucket",
            cause="3 to 63 lower-case letters, digits, hyphens and dots; a state's key is pio-tf's choice, or that of "
            "terraform.backend",
            next_step="--bucket s3://BUCKET",
        )
    s3 = s3_backend(config)
    if s3 is None:
        return name, Aws(config), config.aws.region
    if name is not None and name != s3.bucket:
        raise ConfigError(
            f"{config.where('terraform.backend.bucket')}: terraform.backend.bucket is {s3.bucket}, not {name}",
            next_step="leave --bucket out, or change pio-tf.hcl first",
        )
    return s3.bucket, Aws(config.model_copy(update={"aws": s3.aws})), s3.aws.region


def _is_there(s3: Any, bucket: str, *, account: str, region: str) -> bool:  # noqa: ANN401 - a botocore client
    try:
        found = s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404:
            return False
        if status == 403:
            raise _not_ours(bucket, account) from error
        with aws_errors(f"looking for the bucket {bucket}", service="s3"):
            raise
    where = found.get("BucketRegion") or region
    if where != region:
        raise ConfigError(
            f"the bucket {bucket} is in {where}, not in {region}",
            next_step=f'set region = "{where}" in terraform.backend, or choose another bucket with --bucket',
        )
    return True


def _make(s3: Any, bucket: str, *, region: str) -> bool:  # noqa: ANN401
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with aws_errors(f"making the bucket {bucket}", service="s3"):
        try:
            s3.create_bucket(Bucket=bucket, **place)
            # At once: a creation that stops after this is known as ours, and finished the next time.
            s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": PURPOSE_TAG, "Value": PURPOSE}]})
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "BucketAlreadyOwnedByYou":
                return False  # made by somebody else of this account in this moment
            if code == "BucketAlreadyExists":
                raise _not_ours(bucket, "") from error
            raise
    return True


def _not_ours(bucket: str, account: str) -> ConfigError:
    of = f" of account {account}" if account else ""
    return ConfigError(
        f"the bucket {bucket} is not one{of} that these credentials may use",
        cause="it is somebody else's (names of buckets are taken world-wide), or s3:ListBucket on it is missing",
        next_step="choose another name with --bucket; or, if it is yours, give the AWS user or role s3:ListBucket on "
        + arn(bucket),
    )


def _unfit(bucket: str, lacking: list[Setting]) -> ConfigError:
    return ConfigError(
        f"the bucket {bucket} is not fit for a state: {'; '.join(setting.lack for setting in lacking)}",
        cause="it was not made by pio-tf, so nothing in it was changed",
        next_step="set it up, or choose another one with --bucket:\n"
        + "\n".join(f"  {setting.by_hand.format(bucket=bucket)}" for setting in lacking),
        details={"bucket": bucket, "lacking": [setting.lack for setting in lacking]},
    )


def _is_ours(s3: Any, bucket: str) -> bool:  # noqa: ANN401
    tags = _ask(s3.get_bucket_tagging, bucket, "NoSuchTagSet").get("TagSet", ())
    return {"Key": PURPOSE_TAG, "Value": PURPOSE} in tags


def _is_tls(s3: Any) -> bool:  # noqa: ANN401
    return str(s3.meta.endpoint_url).startswith("https://")


def _ask(call: Callable[..., dict[str, Any]], bucket: str, nothing: str) -> dict[str, Any]:
    """What AWS says of a bucket; nothing where it says so with this error."""
    try:
        return call(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == nothing:
            return {}
        raise


def _is_versioned(s3: Any, bucket: str) -> bool:  # noqa: ANN401
    return s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"  # type: ignore[no-any-return]


def _is_encrypted(s3: Any, bucket: str) -> bool:  # noqa: ANN401
    found = _ask(s3.get_bucket_encryption, bucket, "ServerSideEncryptionConfigurationNotFoundError")
    return bool(found.get("ServerSideEncryptionConfiguration", {}).get("Rules"))


def _is_closed(s3: Any, bucket: str) -> bool:  # noqa: ANN401
    found = _ask(s3.get_public_access_block, bucket, "NoSuchPublicAccessBlockConfiguration")
    return dict(found.get("PublicAccessBlockConfiguration", {})) == _CLOSED


def _policy(s3: Any, bucket: str) -> dict[str, Any]:  # noqa: ANN401
    found = _ask(s3.get_bucket_policy, bucket, "NoSuchBucketPolicy").get("Policy")
    policy: dict[str, Any] = parse_json(found) if found else {"Version": "2012-10-17", "Statement": []}
    if isinstance(policy["Statement"], dict):
        policy["Statement"] = [policy["Statement"]]
    return policy


def _wants_tls(s3: Any, bucket: str) -> bool:  # noqa: ANN401
    return any(
        statement.get("Effect") == "Deny"
        and str(statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")).lower() == "false"
        for statement in _policy(s3, bucket)["Statement"]
    )


def _want_tls(s3: Any, bucket: str) -> None:  # noqa: ANN401
    policy = _policy(s3, bucket)
    place = arn(bucket, region=s3.meta.region_name)
    policy["Statement"].append(
        {
            "Sid": "OnlyTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [place, f"{place}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


SETTINGS = (
    Setting(
        lack="the public is not kept out",
        holds=_is_closed,
        put=lambda s3, bucket: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=_CLOSED),
        by_hand="aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration "
        + ",".join(f"{name}=true" for name in _CLOSED),
    ),
    Setting(
        lack="it is not versioned, so that an older state could not be brought back",
        holds=_is_versioned,
        put=lambda s3, bucket: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        by_hand="aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled",
    ),
    Setting(
        lack="it is not encrypted",
        holds=_is_encrypted,
        put=lambda s3, bucket: s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        ),
        by_hand="aws s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration "
        '\'{{"Rules":[{{"ApplyServerSideEncryptionByDefault":{{"SSEAlgorithm":"AES256"}}}}]}}\'',
    ),
    Setting(
        lack="it can be used without TLS",
        holds=_wants_tls,
        put=_want_tls,
        by_hand="add to its policy: Deny s3:* where aws:SecureTransport is false (aws s3api put-bucket-policy)",
        needs_tls=True,
    ),
)
"""In the order in which they are put: first what keeps others out."""
