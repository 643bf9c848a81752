"""The main job on machines that boot, with a client to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.figures import Figures


@pytest.mark.usefixtures("left")
def test_a_training_leaves_a_model_and_every_machine_off(cluster: Cluster, client: Client, figures: Figures) -> None:
    # Spark's is the one that runs on Debian 12's Java, not the one that pio-tf.hcl names.
    took, said = client.run("train", "--skip-check", "java")
    figures.add_command("pio-tf train, of machines that run, until they are off", took)
    assert "Training completed successfully." in said
    assert not any(machine.is_on for machine in cluster.machines.values())
