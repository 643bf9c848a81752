"""A cluster that does not become ready: the error tells how its machines look from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from pio_tf.errors import PioTfError
from pio_tf.model import Machine
from tests.support.instance_statuses import Statuses
from tests.support.session import session_of

if TYPE_CHECKING:
    from tests.support.ssh_cluster import TestCluster


async def test_a_machine_that_never_answers_ssh_is_told_with_its_status_and_its_console(cluster: TestCluster) -> None:
    ec2 = Statuses(i_master=("running", "ok", "impaired"))
    ec2.consoles["i-master"] = "You are in emergency mode."
    config = cluster.config(cluster={"name": "ur", "start_timeout": "2s"})
    machines = [
        Machine(target.name, target.role, target.instance_id, "m5.large", "running", target.private_ip, None, None)
        for target in cluster.targets("driver", "master")
    ]
    with pytest.raises(PioTfError, match="master") as caught:
        async with session_of(config, machines, ec2=ec2.client, wait=True):
            pass
    assert "master (i-master): its operating system does not answer" in caught.value.cause
    assert "You are in emergency mode." in caught.value.cause
    told = cast("list[dict[str, Any]]", caught.value.details["diagnosis"])
    assert [one["machine"] for one in told] == ["master"]
