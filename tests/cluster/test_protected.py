"""`pio-tf destroy` of machines that AWS protects against termination."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import GuardRefused
from tests.support.builders import make_config
from tests.support.instances import make_cluster
from tests.support.no_machines import no_machines
from tests.support.recording_aws import RecordingAws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def aws() -> Iterator[RecordingAws]:
    with RecordingAws(transition_seconds=0.1) as running:
        yield running


@pytest.mark.parametrize("asked", [True, False])
def test_destroy_names_protected_machines_and_the_next_step_before_it_changes_anything(
    aws: RecordingAws, tmp_path: Path, asked: bool
) -> None:
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
    place = {"region": "us-east-1", "endpoint_url": aws.url, "credentials_file": str(tmp_path / "credentials")}
    name = f"protected-{asked}".lower()
    machines = {"termination_protection": asked}
    config = make_config(tmp_path, aws=place, cluster={"name": name}, machines=machines)
    cluster = Cluster(config, environ={}, open_session=no_machines)
    ec2 = cluster._context.ec2
    made = {one.name: one.instance_id for one in make_cluster(ec2, name, workers=1).machines}
    ec2.modify_instance_attribute(InstanceId=made["worker-1"], DisableApiTermination={"Value": True})
    with aws.recording() as calls, pytest.raises(GuardRefused) as refused:
        cluster.destroy()
    assert {call.operation[:8] for call in calls} == {"Describe"}
    assert refused.value.what.startswith(f"AWS refuses to terminate worker-1 ({made['worker-1']}, ")
    assert "driver" not in refused.value.what
    assert refused.value.next_step == (
        "set machines.termination_protection to false, run `pio-tf apply`, then `pio-tf destroy` again"
        if asked
        else "run `pio-tf apply`, then `pio-tf destroy` again"
    )
