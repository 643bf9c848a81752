"""Each sandbox has addresses that no other program of this computer uses."""

from __future__ import annotations

import socket
import subprocess
import sys
from ipaddress import IPv4Network

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.address_range import claimed_range

NUMBERS = (31, 32, 33)
"""Ranges that neither sandboxes nor other tests use."""
ONE, TWO, THREE = (IPv4Network(f"127.{number}.0.0/16") for number in NUMBERS)


def test_ranges_are_claimed_one_after_the_other_and_free_again_afterwards() -> None:
    with claimed_range(NUMBERS) as first:
        with claimed_range(NUMBERS) as second:
            assert (first, second) == (ONE, TWO)
        with claimed_range(NUMBERS) as again:
            assert again == TWO
    with claimed_range(NUMBERS) as again:
        assert again == ONE


def test_the_preferred_range_comes_first_while_it_is_free() -> None:
    with claimed_range(NUMBERS, preferred=THREE) as addresses:
        assert addresses == THREE
        with claimed_range(NUMBERS, preferred=THREE) as other:
            assert other == ONE


def test_a_range_in_which_a_program_listens_is_not_taken() -> None:
    with socket.create_server(("127.31.200.7", 0)), claimed_range(NUMBERS) as addresses:
        assert addresses == TWO


def test_a_claim_ends_with_its_process_however_it_ends() -> None:
    program = (
        "import time\nfrom pio_tf.sandbox.address_range import claimed_range\n"
        f"with claimed_range({NUMBERS}) as addresses:\n    print(addresses, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == f"{ONE}\n"
        with claimed_range(NUMBERS) as addresses:
            assert addresses == TWO
        other.kill()
    with claimed_range(NUMBERS) as addresses:
        assert addresses == ONE


def test_without_a_free_range_the_error_says_what_to_do() -> None:
    refused = pytest.raises(SandboxError, match="no addresses are left")
    with claimed_range(NUMBERS[:1]), refused as caught, claimed_range(NUMBERS[:1]):
        pass
    assert "stop a sandbox" in caught.value.next_step
