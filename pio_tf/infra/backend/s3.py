"""``backend "s3"``: what pio-tf.hcl says of it, with the defaults of what it does not say."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.aws.objects import Objects
from pio_tf.aws.session import Aws
from pio_tf.config.blocks import AssumeRole
from pio_tf.errors import TerraformError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.blocks import AwsBlock
    from pio_tf.config.schema import Config
    from pio_tf.infra.binary import TerraformBinary
    from pio_tf.infra.hcl_writer import Value

LOCKFILE_SINCE = (1, 10, 0)
"""Terraform and OpenTofu lock a state by an object beside it since 1.10, both of them."""
_CREDENTIALS = frozenset(
    {
        "assume_role",
        "assume_role_with_web_identity",
        "profile",
        "role_arn",
        "shared_config_files",
        "shared_credentials_file",
        "shared_credentials_files",
    }
)


@dataclass(frozen=True)
class S3Backend:
    """A state in S3."""

    bucket: str
    key: str
    arguments: Mapping[str, Value]
    """All of them, as backend.tf has them."""
    aws: AwsBlock
    """Region and credentials of the bucket: those of the cluster, where the backend has none of its own."""

    @property
    def url(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def lock_key(self) -> str:
        """The object that locks the state."""
        return f"{self.key}.tflock"

    @property
    def locks_by_object(self) -> bool:
        """Whether Terraform is told to use it."""
        return self.arguments.get("use_lockfile") in (True, "true")

    @property
    def prefix(self) -> str:
        """Where the cluster's other objects are: ``runs/`` and ``run.lock``. Ends with a slash, unless it is empty.

        The state's directory, if the state has one of its own (``…/<cluster>/terraform.tfstate``, as the default has);
        else one that is named after it, since other clusters' states may be beside it.
        """
        directory, name = posixpath.split(self.key)
        own = directory if name == "terraform.tfstate" else self.key.removesuffix(".tfstate")
        return f"{own}/" if own else ""

    @property
    def encryption(self) -> Mapping[str, str]:
        """How other objects are written, as arguments of PutObject: as Terraform writes the state."""
        if self.arguments.get("encrypt") not in (True, "true"):
            return {}
        key = self.arguments.get("kms_key_id")
        if key:
            return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": str(key)}
        return {"ServerSideEncryption": "AES256"}


def s3_backend(config: Config) -> S3Backend | None:
    """Where the state is, if it is in S3."""
    backend = config.terraform.backend
    if backend is None or backend.type != "s3":
        return None
    given: dict[str, Value] = dict(backend.arguments)
    defaults: dict[str, Value] = {
        "key": f"pio-tf/{config.cluster.name}/terraform.tfstate",
        "region": config.aws.region,
        "encrypt": True,
    }
    if "dynamodb_table" not in given:
        defaults["use_lockfile"] = True
    if not _CREDENTIALS & given.keys():
        defaults |= _credentials(config.aws)
    if config.aws.endpoint_url is not None and not {"endpoint", "endpoints"} & given.keys():
        defaults |= _other_api(config.aws.endpoint_url.rstrip("/"))
    arguments = defaults | given
    return S3Backend(
        bucket=str(arguments["bucket"]),
        key=str(arguments["key"]),
        arguments=dict(sorted(arguments.items())),
        aws=_reached_as(config.aws, given, region=str(arguments["region"])),
    )


def require_lockfile(backend: S3Backend, binary: TerraformBinary) -> None:
    """Refuse a Terraform that cannot lock the state as it is told to.

    Raises:
        TerraformError: it is too old.
    """
    if not backend.locks_by_object or binary.numbers >= LOCKFILE_SINCE:
        return
    wanted = ".".join(str(number) for number in LOCKFILE_SINCE)
    raise TerraformError(
        f"{binary} is too old for a state in S3: locking it by an object (use_lockfile) is new in {wanted}",
        next_step="use a newer one: terraform.binary in pio-tf.hcl names it, and pip install 'pio-tf[terraform]' "
        "brings one",
        details={"version": binary.version, "minimum": wanted},
    )


def _credentials(aws: AwsBlock) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if aws.profile is not None:
        found["profile"] = aws.profile
    if aws.assume_role is not None:
        found["assume_role"] = {
            name: value for name, value in aws.assume_role.model_dump().items() if isinstance(value, str)
        }
    return found


def _other_api(url: str) -> dict[str, Value]:
    return {
        "endpoints": {"s3": url, "sts": url},
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "skip_requesting_account_id": True,
        "use_path_style": True,
    }


def _reached_as(aws: AwsBlock, given: Mapping[str, Value], *, region: str) -> AwsBlock:
    """The aws block for calls of our own to the bucket, with what the backend says otherwise."""
    changes: dict[str, object] = {"region": region}
    endpoints = given.get("endpoints")
    endpoint = endpoints.get("s3") if isinstance(endpoints, dict) else given.get("endpoint")
    if endpoint:
        changes["endpoint_url"] = endpoint
    if _CREDENTIALS & given.keys():
        role = given.get("assume_role")
        named = role if isinstance(role, dict) else given
        changes |= {"profile": given.get("profile"), "assume_role": _role(named) if named.get("role_arn") else None}
    files = given.get("shared_credentials_files") or given.get("shared_credentials_file")
    if files:
        changes["credentials_file"] = Path(str(files[0] if isinstance(files, list) else files))
    return aws.model_copy(update=changes)


def _role(named: Mapping[str, Value]) -> AssumeRole:
    # Not validated again: a role may be written in ways that Terraform takes.
    return AssumeRole.model_construct(
        role_arn=str(named["role_arn"]),
        session_name=str(named.get("session_name") or "pio-tf"),
        external_id=str(named["external_id"]) if named.get("external_id") else None,
    )


def open_objects(config: Config, backend: S3Backend) -> Objects:
    """Return the bucket of a state, with the credentials that Terraform has for it.

    Raises:
        AwsError: the profile, the AWS files or the credentials file are missing or broken.
    """
    aws = Aws(config.model_copy(update={"aws": backend.aws}))
    return Objects(aws.client("s3"), backend.bucket, backend.encryption)
