"""What to do about Terraform's errors with a state in S3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.aws.objects import arn
from pio_tf.infra.advice import next_step

if TYPE_CHECKING:
    from pio_tf.infra.backend.s3 import S3Backend

_DENIED = re.compile(r"StatusCode: 403|AccessDenied|Forbidden")


def advise(text: str, backend: S3Backend | None) -> str | None:
    """The next step for an error's text, where it is a known one."""
    return (_about_s3(text, backend) if backend is not None else None) or next_step(text)


def _about_s3(text: str, backend: S3Backend) -> str | None:
    region = backend.aws.region
    if re.search(r"NoSuchBucket|S3 bucket \S+ does not exist", text):
        return f"`pio-tf init --backend` makes the bucket {backend.bucket}; or correct its name in terraform.backend"
    if re.search(r"PermanentRedirect|requested bucket from|StatusCode: 301", text):
        return f"the bucket {backend.bucket} is in another region: set region in terraform.backend"
    if not _DENIED.search(text) or "S3" not in text:
        return None
    if "state lock" in text:
        lock = arn(backend.bucket, backend.lock_key, region=region)
        step = f"give the AWS user or role s3:GetObject, s3:PutObject and s3:DeleteObject on {lock}"
        left = re.search(r"releasing.*?^\s*ID:\s*(\S+)", text, re.DOTALL | re.MULTILINE)
        if left:
            step += f"; the lock is still there: `terraform -chdir={{directory}} force-unlock {left[1]}`"
        return step
    state = arn(backend.bucket, backend.key, region=region)
    bucket = arn(backend.bucket, region=region)
    return f"give the AWS user or role s3:ListBucket on {bucket}, s3:GetObject and s3:PutObject on {state}"
