"""Which address the driver is reached at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import RemoteError
from pio_tf.model import Machine
from pio_tf.remote.target import SshTarget, ssh_targets
from tests.support.builders import make_config

if TYPE_CHECKING:
    from pio_tf.model import Role


def machine(role: Role, public_ip: str | None) -> Machine:
    return Machine(role, role, "i-1", "r5.large", "running", "10.0.0.10", public_ip, None)


@pytest.mark.parametrize(
    ("ssh", "public_ip", "address"),
    [
        ({}, "54.0.0.1", "54.0.0.1"),
        ({}, None, "10.0.0.10"),
        ({"bastion": "jump"}, "54.0.0.1", "10.0.0.10"),
        ({"address": "private"}, "54.0.0.1", "10.0.0.10"),
        ({"address": "public", "bastion": "jump"}, "54.0.0.1", "54.0.0.1"),
    ],
)
def test_the_driver_is_reached_where_the_configuration_says(
    ssh: dict[str, str], public_ip: str | None, address: str
) -> None:
    (target,) = ssh_targets(make_config(ssh=ssh), [machine("driver", public_ip)])
    assert target.address == address


def test_the_others_are_reached_at_their_private_addresses() -> None:
    targets = ssh_targets(make_config(), [machine("driver", "54.0.0.1"), machine("worker", "54.0.0.2")])
    assert targets == (
        SshTarget("driver", "driver", "i-1", "10.0.0.10", "54.0.0.1"),
        SshTarget("worker", "worker", "i-1", "10.0.0.10", "10.0.0.10"),
    )


def test_a_public_address_that_is_asked_for_and_not_there_is_told() -> None:
    with pytest.raises(RemoteError, match="no public address") as caught:
        ssh_targets(make_config(ssh={"address": "public"}), [machine("driver", None)])
    assert "ssh.address" in caught.value.next_step
