"""Host keys from a machine's console."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import asyncssh
import pytest

from pio_tf.errors import AwsError
from pio_tf.machines.console import host_keys_from_console, parse_host_keys
from tests.machines.fake_ec2 import client_error

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def public_key(kind: str = "ssh-ed25519") -> str:
    return asyncssh.generate_private_key(kind).export_public_key().decode().strip()


ED25519, ECDSA, RSA = public_key(), public_key("ecdsa-sha2-nistp256"), public_key("ssh-rsa")


def block(*lines: str, prefix: str = "", end: str = "\n") -> str:
    marks = ("-----BEGIN SSH HOST KEY KEYS-----", *lines, "-----END SSH HOST KEY KEYS-----")
    return "".join(f"{prefix}{line}{end}" for line in marks)


class Consoles:
    """EC2's GetConsoleOutput: the console as it is now, of Nitro machines alone, and AWS's copy of it."""

    def __init__(self, *, now: dict[str, str] | None = None, copies: dict[str, str] | None = None) -> None:
        self.now = now
        self.copies = copies or {}
        self.calls: Counter[str] = Counter()
        self.fault: Exception | None = None

    def get_console_output(self, *, InstanceId: str, Latest: bool = False) -> dict[str, Any]:  # noqa: N803
        self.calls["latest" if Latest else "copy"] += 1
        if self.fault:
            raise self.fault
        if Latest and self.now is None:
            raise client_error("UnsupportedOperation", operation="GetConsoleOutput")
        output = (self.now or {} if Latest else self.copies).get(InstanceId)
        return {"InstanceId": InstanceId} | ({} if output is None else {"Output": output})

    @property
    def client(self) -> EC2Client:
        return cast("EC2Client", self)


def test_a_nitro_machines_keys_are_those_on_its_console_now() -> None:
    ec2 = Consoles(now={"i-1": f"boot\n{block(ECDSA, ED25519)}login:"})
    assert host_keys_from_console(ec2.client, "i-1") == (ECDSA, ED25519)
    assert ec2.calls == {"latest": 1}


def test_of_other_machines_it_is_the_copy_that_aws_has() -> None:
    ec2 = Consoles(copies={"i-1": block(ED25519)})
    assert host_keys_from_console(ec2.client, "i-1") == (ED25519,)
    assert host_keys_from_console(ec2.client, "i-2") == ()


def test_keys_that_have_scrolled_off_the_console_are_in_the_copy() -> None:
    ec2 = Consoles(now={"i-1": "nothing but later messages"}, copies={"i-1": block(ED25519)})
    assert host_keys_from_console(ec2.client, "i-1") == (ED25519,)


def test_a_permission_that_is_missing_is_named() -> None:
    ec2 = Consoles()
    ec2.fault = client_error("UnauthorizedOperation", "You are not authorized", operation="GetConsoleOutput")
    with pytest.raises(AwsError) as caught:
        host_keys_from_console(ec2.client, "i-1")
    assert "ec2:GetConsoleOutput" in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        ("", "\r\n"),
        ("[   21.337001] cloud-init[812]: ", "\r\n"),
        ("<14>Nov 23 18:00:00 cloud-init: ", "\n"),
        ("2026-11-23T18:00:00+00:00 ip-10-0-0-10 ", "\n"),
    ],
)
def test_stamps_before_the_lines_do_not_matter(prefix: str, end: str) -> None:
    lines = (f"{ECDSA} root@ip-10-0-0-10", f"{ED25519} root@ip-10-0-0-10")
    assert parse_host_keys(block(*lines, prefix=prefix, end=end)) == (ECDSA, ED25519)


def test_fingerprints_and_other_peoples_keys_outside_the_block_are_no_host_keys() -> None:
    assert parse_host_keys(f"ci-info: {ECDSA} me@home\n{block(ED25519)}{RSA}\n") == (ED25519,)
    assert parse_host_keys(f"{ECDSA}\n") == ()


def test_kernel_messages_between_the_keys_are_passed_over() -> None:
    assert parse_host_keys(block(ED25519, "[ 21.4] random: crng init done", RSA)) == (ED25519, RSA)


def test_the_last_whole_block_counts() -> None:
    unfinished = "-----BEGIN SSH HOST KEY KEYS-----\n" + RSA
    assert parse_host_keys(block(ECDSA) + block(ED25519) + unfinished) == (ED25519,)
    assert parse_host_keys(unfinished + "\n" + block(ED25519)) == (ED25519,)
    assert parse_host_keys(unfinished) == ()


def test_what_is_not_whole_or_not_of_its_type_is_left_out() -> None:
    kind, data = ED25519.split()
    assert parse_host_keys(block(f"{kind} {data[:-3]}", f"ssh-rsa {data}", f"{kind} AAAA", ECDSA)) == (ECDSA,)
