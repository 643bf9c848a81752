"""The S3 bucket for states: created once for an account, or checked.

It is in no stack: Terraform cannot create the place of its own state, and so no plan can remove the bucket.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from botocore.exceptions import ClientError
from msgspec import Struct

from pio_tf.aws.bucket_owner import expect_owner, state_bucket_name
from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.errors import aws_errors
from pio_tf.aws.identity import who_am_i
from pio_tf.aws.objects import arn
from pio_tf.aws.session import Aws
from pio_tf.config.hcl_writer import block
from pio_tf.errors import ConfigError
from pio_tf.events import Done, Step, Warned
from pio_tf.infra.backend.s3 import s3_backend
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter

S3: TypeAlias = Any  # a botocore client
Answer: TypeAlias = dict[str, Any]

PURPOSE_TAG, PURPOSE = "pio-tf:purpose", "terraform-state"
"""The tag of a bucket that pio-tf has created."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PRIVATE = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)  # fmt: skip


class StateBucket(Struct, frozen=True):
    """A bucket that can hold states."""

    name: str
    region: str
    created: bool

    def block(self, config: Config) -> str:
        """Return the lines for the ``terraform`` block of pio-tf.hcl."""
        region = self.region if self.region != config.aws.region else None
        return block('backend "s3"', {"bucket": self.name, "region": region}, indent=2)


class Setting(Struct, frozen=True):
    """A property that a bucket for states must have.

    Args:
        lack: the problem without it.
        name: of S3's operations ``get_<name>`` and ``put_<name>``.
        unset: code of the error by which ``get_<name>`` says that there is nothing.
        to_put: arguments of ``put_<name>``, from the answer of ``get_<name>`` and the bucket's ARN; none if it is set.
        needs_tls: whether the property would lock out a client that comes over plain HTTP.
    """

    lack: str
    name: str
    unset: str
    to_put: Callable[[Answer, str], dict[str, Any]]
    needs_tls: bool = False

    def missing(self, s3: S3, bucket: str) -> dict[str, Any]:
        """Return the arguments of ``put_<name>`` that set it; empty if the bucket has it."""
        answer = _ask(getattr(s3, f"get_{self.name}"), bucket, self.unset)
        return self.to_put(answer, arn(bucket, region=s3.meta.region_name))

    def put(self, s3: S3, bucket: str, arguments: dict[str, Any]) -> None:
        """Set it, with the arguments of :meth:`missing`."""
        getattr(s3, f"put_{self.name}")(Bucket=bucket, **arguments)

    def aws_cli(self, bucket: str, arguments: dict[str, Any], *, place: str) -> str:
        """Return the command that sets it; ``place``: of :class:`~pio_tf.aws.cli_hints.AwsCliHints`."""
        command = f"aws s3api put-{self.name.replace('_', '-')} --bucket {bucket} {place}"
        for name, value in arguments.items():
            option = re.sub("([A-Z])", r"-\1", name).lower()
            command += f" -{option} '{value if isinstance(value, str) else json.dumps(value)}'"
        return command


def prepare_bucket(config: Config, name: str | None, *, reporter: Reporter) -> StateBucket:
    """Create the bucket unless it exists, and check its settings. Safe to repeat.

    Args:
        config: its ``aws`` block gives region and credentials; its backend, if it has one, the bucket.
        name: the bucket, with or without ``s3://``; default: the backend's, else ``pio-tf-state-<account>-<region>``.

    Raises:
        ConfigError: it belongs to another account; it is in another region; pio-tf did not create it, and it is not
            fit; pio-tf.hcl names another one. Nothing was changed.
        AwsError: AWS does not do it.
    """
    wanted, aws, region = _wanted(config, name)
    account = who_am_i(aws.client).account
    bucket = wanted or state_bucket_name(account, region)
    s3: S3 = aws.client("s3")
    expect_owner(s3, lambda _bucket: account)
    created = False
    if not _exists(s3, bucket, account=account, region=region):
        reporter(Step(f"Creating the bucket {bucket} in {region}"))
        created = _create(s3, bucket, region=region)
    is_tls = str(s3.meta.endpoint_url).startswith("https://")
    if not is_tls:
        reporter(Warned("the bucket is reached over plain HTTP here, so it does not get the rule that refuses it"))
    with aws_errors(f"looking at the bucket {bucket}", service="s3"):
        settings = [(one, one.missing(s3, bucket)) for one in SETTINGS if is_tls or not one.needs_tls]
        lacking = [(setting, arguments) for setting, arguments in settings if arguments]
        if lacking and not created and not _is_ours(s3, bucket):
            raise _unfit(bucket, lacking, AwsCliHints.of_client(s3))
    with aws_errors(f"setting up the bucket {bucket}", service="s3"):
        for setting, arguments in lacking:
            setting.put(s3, bucket, arguments)
    done = "is created" if created else "was incomplete and is now set up" if lacking else "exists already"
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
            cause="a name has 3 to 63 lower-case letters, digits, hyphens and dots; the state's key is up to pio-tf or "
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


def _exists(s3: S3, bucket: str, *, account: str, region: str) -> bool:
    try:
        found = s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404:
            return False
        if status == 403:
            raise _foreign(bucket, f" of account {account}") from error
        with aws_errors(f"looking for the bucket {bucket}", service="s3"):
            raise
    where = found.get("BucketRegion") or region
    if where != region:
        raise ConfigError(
            f"the bucket {bucket} is in {where}, not in {region}",
            next_step=f'set region = "{where}" in terraform.backend, or choose another bucket with --bucket',
        )
    return True


def _create(s3: S3, bucket: str, *, region: str) -> bool:
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with aws_errors(f"creating the bucket {bucket}", service="s3"):
        try:
            s3.create_bucket(Bucket=bucket, **place)
            # At once, so that the next call recognises and completes a creation that stops after this.
            s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": PURPOSE_TAG, "Value": PURPOSE}]})
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "BucketAlreadyOwnedByYou":
                return False  # another client of this account has just created it
            if code == "BucketAlreadyExists":
                raise _foreign(bucket, "") from error
            raise
    return True


def _foreign(bucket: str, of_account: str) -> ConfigError:
    return ConfigError(
        f"the bucket {bucket} is not one{of_account} that these credentials may use",
        cause="it belongs to another account (bucket names are global), or s3:ListBucket on it is missing",
        next_step="choose another name with --bucket; or, if it is yours, give the AWS user or role s3:ListBucket on "
        + arn(bucket),
    )


def _unfit(bucket: str, lacking: list[tuple[Setting, dict[str, Any]]], hints: AwsCliHints) -> ConfigError:
    lacks = [setting.lack for setting, _ in lacking]
    return ConfigError(
        f"the bucket {bucket} is not fit for a state: {'; '.join(lacks)}",
        cause="pio-tf did not create it, so nothing in it was changed",
        next_step="set it up, or choose another one with --bucket:\n"
        + "\n".join(f"  {setting.aws_cli(bucket, arguments, place=hints.place)}" for setting, arguments in lacking),
        details={"bucket": bucket, "lacking": lacks},
    )


def _is_ours(s3: S3, bucket: str) -> bool:
    tags = _ask(s3.get_bucket_tagging, bucket, "NoSuchTagSet").get("TagSet", ())
    return {"Key": PURPOSE_TAG, "Value": PURPOSE} in tags


def _ask(call: Callable[..., Answer], bucket: str, unset: str) -> Answer:
    try:
        return call(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == unset:
            return {}
        raise


def _policy(answer: Answer) -> dict[str, Any]:
    found = answer.get("Policy")
    policy: dict[str, Any] = parse_json(found) if found else {"Version": "2012-10-17", "Statement": []}
    if isinstance(policy["Statement"], dict):
        policy["Statement"] = [policy["Statement"]]
    return policy


def _tls_policy(answer: Answer, bucket_arn: str) -> dict[str, Any]:
    policy = _policy(answer)
    for statement in policy["Statement"]:
        condition = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
        if statement.get("Effect") == "Deny" and str(condition).lower() == "false":
            return {}
    policy["Statement"].append(
        {
            "Sid": "OnlyTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )
    return {"Policy": json.dumps(policy)}


def _public_access_block(answer: Answer, _arn: str) -> dict[str, Any]:
    wanted = {"PublicAccessBlockConfiguration": _PRIVATE}
    return {} if answer.get("PublicAccessBlockConfiguration") == _PRIVATE else wanted


def _versioning(answer: Answer, _arn: str) -> dict[str, Any]:
    return {} if answer.get("Status") == "Enabled" else {"VersioningConfiguration": {"Status": "Enabled"}}


def _encryption(answer: Answer, _arn: str) -> dict[str, Any]:
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    has_rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules")
    return {} if has_rules else {"ServerSideEncryptionConfiguration": {"Rules": rules}}


SETTINGS = (
    Setting(
        "the public is not kept out",
        "public_access_block",
        "NoSuchPublicAccessBlockConfiguration",
        _public_access_block,
    ),
    Setting("it is not versioned, so that an older state could not be restored", "bucket_versioning", "", _versioning),
    Setting("it is not encrypted", "bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError", _encryption),
    Setting("it can be used without TLS", "bucket_policy", "NoSuchBucketPolicy", _tls_policy, needs_tls=True),
)
"""The settings in the order in which pio-tf makes them: first those that keep others out."""
