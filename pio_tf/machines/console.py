"""Consoles of machines, and the SSH host keys in them, by which AWS itself identifies a machine."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pio_tf.aws.errors import aws_errors, error_code

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_BLOCK = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(?P<keys>(?:(?!-----BEGIN SSH).)*?)-----END SSH HOST KEY KEYS-----", re.DOTALL
)
_KEY = re.compile(r"(?P<type>(?:ssh|ecdsa|sk)-[\w@.-]+) (?P<data>AAAA[A-Za-z0-9+/]+={0,2})(?=\s|$)")
"""Anywhere in a line: the kernel, systemd or syslog may put a time or a name before the key."""
_NOT_NITRO = "UnsupportedOperation"


def host_keys_from_console(ec2: EC2Client, instance_id: str) -> tuple[str, ...]:
    """Return the public host keys of a machine, as ``ssh-ed25519 AAAA…``; none if its console shows none yet.

    cloud-init writes them at a machine's first boot. Nitro machines show their current console. For others, AWS makes a
    copy some minutes after a boot.

    Raises:
        AwsError: AWS does not return the console (permission ``ec2:GetConsoleOutput``), or does not answer.
    """
    with aws_errors():
        # The copy may still hold what 64 KiB of later messages have pushed out of the current console.
        return parse_host_keys(_current(ec2, instance_id) or "") or parse_host_keys(_copy(ec2, instance_id))


def read_console(ec2: EC2Client, instance_id: str) -> str:
    """Return the console of a machine: the current one of a Nitro machine, else AWS's copy.

    Raises:
        ClientError, BotoCoreError: AWS does not return it, or does not answer.
    """
    current = _current(ec2, instance_id)
    return _copy(ec2, instance_id) if current is None else current


def _current(ec2: EC2Client, instance_id: str) -> str | None:
    """Return the current console; None for a machine that is not of the Nitro system."""
    try:
        return ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
    except ClientError as error:
        if error_code(error) != _NOT_NITRO:
            raise
        return None


def _copy(ec2: EC2Client, instance_id: str) -> str:
    return ec2.get_console_output(InstanceId=instance_id).get("Output", "")


def parse_host_keys(console: str) -> tuple[str, ...]:
    """Return the keys of the last complete block that cloud-init wrote, without those that a serial line cut short.

    A cut may not show here: the caller must refuse such a key.
    """
    blocks = _BLOCK.findall(console)
    found = _KEY.finditer(blocks[-1]) if blocks else ()
    return tuple(f"{match['type']} {match['data']}" for match in found if _is_of_type(match["data"], match["type"]))


def _is_of_type(data: str, kind: str) -> bool:
    """Tell whether the key names this type in its first field."""
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    return raw[4 : 4 + int.from_bytes(raw[:4], "big")] == kind.encode()
