"""``backend "s3"`` of pio-tf.hcl, with pio-tf's defaults."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.aws.objects import Objects, arn
from pio_tf.aws.session import Aws
from pio_tf.config.blocks import AssumeRole
from pio_tf.errors import TerraformError
from pio_tf.infra.terraform_messages import ENCRYPTED_STATE, UNREADABLE_STATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.blocks import AwsBlock
    from pio_tf.config.hcl_writer import Value
    from pio_tf.config.schema import Config
    from pio_tf.infra.binary import TerraformBinary

LOCKFILE_SINCE = (1, 10, 0)
"""First version of Terraform, and of OpenTofu, that locks a state by an object beside it."""
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


class S3Backend(Struct, frozen=True):
    """A state in S3.

    Args:
        arguments: all arguments, as in backend.tf.
        aws: region and credentials of the bucket: the cluster's, unless the backend has its own.
    """

    bucket: str
    key: str
    arguments: Mapping[str, Value]
    aws: AwsBlock

    @property
    def url(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def lock_key(self) -> str:
        """Key of the object that locks the state."""
        return f"{self.key}.tflock"

    @property
    def locks_by_object(self) -> bool:
        """True if Terraform uses that object."""
        return self.arguments.get("use_lockfile") in (True, "true")

    @property
    def prefix(self) -> str:
        """Prefix of the cluster's other objects, ``runs/`` and ``run.lock``; ends with a slash, unless it is empty.

        The state's directory, if the state has one of its own (``…/<cluster>/terraform.tfstate``, as by default); else
        a directory named after the state, since other clusters' states may be beside it.
        """
        directory, name = posixpath.split(self.key)
        own = directory if name == "terraform.tfstate" else self.key.removesuffix(".tfstate")
        return f"{own}/" if own else ""

    @property
    def encryption(self) -> Mapping[str, str]:
        """Arguments of PutObject that encrypt other objects as Terraform encrypts the state."""
        if self.arguments.get("encrypt") not in (True, "true"):
            return {}
        key = self.arguments.get("kms_key_id")
        if key:
            return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": str(key)}
        return {"ServerSideEncryption": "AES256"}

    def advise(self, text: str) -> str | None:
        """Return the next step for an error of Terraform's, without line ends; None if it is not about this state."""
        region = self.aws.region
        if re.search(r"NoSuchBucket|S3 bucket \S+ does not exist", text):
            return f"`pio-tf init --backend` makes the bucket {self.bucket}; or correct its name in terraform.backend"
        if re.search(r"PermanentRedirect|requested bucket from|StatusCode: 301", text):
            return f"the bucket {self.bucket} is in another region: set region in terraform.backend"
        if re.search(UNREADABLE_STATE, text) and not re.search(f"newer|{ENCRYPTED_STATE}", text):
            return f"{self.url} is no state: restore an older version of this object, which its bucket keeps"
        if not re.search(r"StatusCode: 403|AccessDenied|Forbidden", text) or "S3" not in text:
            return None
        if "state lock" in text:
            lock = arn(self.bucket, self.lock_key, region=region)
            step = f"give the AWS user or role s3:GetObject, s3:PutObject and s3:DeleteObject on {lock}"
            left = re.search(r"releasing.*\bID: (\S+) Path: ", text)
            if left:
                step += f"; the lock is still there: `{{by_hand}} force-unlock {left[1]}`"
            return step
        state = arn(self.bucket, self.key, region=region)
        bucket = arn(self.bucket, region=region)
        return f"give the AWS user or role s3:ListBucket on {bucket}, s3:GetObject and s3:PutObject on {state}"


def s3_backend(config: Config) -> S3Backend | None:
    """Return the backend if the state is in S3."""
    backend, aws = config.terraform.backend, config.aws
    if backend is None or backend.type != "s3":
        return None
    given: dict[str, Value] = dict(backend.arguments)
    defaults: dict[str, Value] = {
        "key": f"pio-tf/{config.cluster.name}/terraform.tfstate",
        "region": aws.region,
        "encrypt": True,
    }
    if "dynamodb_table" not in given:
        defaults["use_lockfile"] = True
    if not _CREDENTIALS & given.keys():
        if aws.profile is not None:
            defaults["profile"] = aws.profile
        if aws.assume_role is not None:
            defaults["assume_role"] = aws.assume_role.model_dump(exclude_none=True)
    if aws.endpoint_url is not None and not {"endpoint", "endpoints"} & given.keys():
        url = aws.endpoint_url.rstrip("/")
        defaults |= {
            "endpoints": {"s3": url, "sts": url},
            "skip_credentials_validation": True,
            "skip_metadata_api_check": True,
            "skip_requesting_account_id": True,
            "use_path_style": True,
        }
    arguments = defaults | given
    return S3Backend(
        bucket=str(arguments["bucket"]),
        key=str(arguments["key"]),
        arguments=dict(sorted(arguments.items())),
        aws=_aws_block(aws, given, region=str(arguments["region"])),
    )


def s3_endpoint(arguments: Mapping[str, Any]) -> str:
    """Return the URL of the API that a backend's arguments name; empty for AWS's own."""
    endpoints = arguments.get("endpoints")
    found = endpoints.get("s3") if isinstance(endpoints, dict) else None
    return str(found or arguments.get("endpoint") or "")


def require_lockfile(backend: S3Backend | None, binary: TerraformBinary) -> None:
    """Refuse a Terraform that cannot lock the state as the backend asks.

    Raises:
        TerraformError: it is too old.
    """
    if backend is None or not backend.locks_by_object or binary.numbers >= LOCKFILE_SINCE:
        return
    wanted = ".".join(str(number) for number in LOCKFILE_SINCE)
    raise TerraformError(
        f"{binary} is too old for a state in S3: use_lockfile, a lock object beside the state, is new in {wanted}",
        next_step="use a newer one: terraform.binary in pio-tf.hcl names it, and pip install 'pio-tf[terraform]' "
        "brings one",
        details={"version": binary.version, "minimum": wanted},
    )


def open_objects(config: Config, backend: S3Backend) -> Objects:
    """Return the bucket of a state, with the credentials that Terraform has for it.

    Raises:
        AwsError: the profile, the AWS files or the credentials file are missing or broken.
    """
    aws = Aws(config.model_copy(update={"aws": backend.aws}))
    return Objects(aws.client("s3"), backend.bucket, backend.encryption)


def _aws_block(aws: AwsBlock, given: Mapping[str, Value], *, region: str) -> AwsBlock:
    """Return the aws block for pio-tf's own calls to the bucket, with what the backend sets differently."""
    changes: dict[str, object] = {"region": region, "allowed_account_ids": []}  # the bucket may be another account's
    if endpoint := s3_endpoint(given):
        changes["endpoint_url"] = endpoint
    if _CREDENTIALS & given.keys():
        role = given.get("assume_role")
        named = role if isinstance(role, dict) else given
        changes |= {"profile": given.get("profile"), "assume_role": None}
        if named.get("role_arn"):
            # Not validated again: Terraform takes more forms of a role.
            changes["assume_role"] = AssumeRole.model_construct(
                role_arn=str(named["role_arn"]),
                session_name=str(named.get("session_name") or "pio-tf"),
                external_id=str(named["external_id"]) if named.get("external_id") else None,
            )
    files = given.get("shared_credentials_files") or given.get("shared_credentials_file")
    if files:
        changes["credentials_file"] = Path(str(files[0] if isinstance(files, list) else files))
    return aws.model_copy(update=changes)
