"""SSH host keys, as machines have written them to their consoles: what AWS itself says that a machine is."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pio_tf.aws.session import aws_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_ec2 import EC2Client

_BLOCK = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(?P<keys>(?:(?!-----BEGIN SSH).)*?)-----END SSH HOST KEY KEYS-----", re.DOTALL
)
_KEY = re.compile(r"(?P<type>(?:ssh|ecdsa|sk)-[\w@.-]+) (?P<data>AAAA[A-Za-z0-9+/]+={0,2})(?=\s|$)")
"""Anywhere in its line: the kernel, systemd or syslog may have put a time or a name before it."""
_NOT_NITRO = "UnsupportedOperation"


def host_keys_from_console(ec2: EC2Client, instance_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The public host keys, as ``ssh-ed25519 AAAA…``, of each machine; none where its console does not show any (yet).

    cloud-init writes them at a machine's first boot. Nitro machines show their console as it is at the moment; of
    others AWS keeps a copy, which it makes some minutes after a boot.

    Raises:
        AwsError: AWS does not give the console out (permission ``ec2:GetConsoleOutput``), or does not answer.
    """
    with aws_errors():
        return {instance_id: _host_keys(ec2, instance_id) for instance_id in instance_ids}


def _host_keys(ec2: EC2Client, instance_id: str) -> tuple[str, ...]:
    try:
        keys = parse_host_keys(ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", ""))
    except ClientError as error:
        if error.response["Error"]["Code"] != _NOT_NITRO:
            raise
        keys = ()
    # The copy may still have what 64 KiB of later messages have pushed out of the console.
    return keys or parse_host_keys(ec2.get_console_output(InstanceId=instance_id).get("Output", ""))


def read_console(ec2: EC2Client, instance_id: str) -> str:
    """What a machine has written to its console: as it is now of a Nitro machine, else the copy that AWS has.

    Raises:
        ClientError, BotoCoreError: AWS does not give it out, or does not answer.
    """
    try:
        return ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
    except ClientError as error:
        if error.response["Error"]["Code"] != _NOT_NITRO:
            raise
    return ec2.get_console_output(InstanceId=instance_id).get("Output", "")


def parse_host_keys(console: str) -> tuple[str, ...]:
    """The keys of the last whole block that cloud-init has written. A key that a serial line has cut short is left out;
    one that was cut where it cannot be seen here is for the reader to refuse."""
    blocks = _BLOCK.findall(console)
    found = _KEY.finditer(blocks[-1]) if blocks else ()
    return tuple(f"{match['type']} {match['data']}" for match in found if _is_of_type(match["data"], match["type"]))


def _is_of_type(data: str, kind: str) -> bool:
    """Whether the key itself names this type, as its first field."""
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    return raw[4 : 4 + int.from_bytes(raw[:4], "big")] == kind.encode()
