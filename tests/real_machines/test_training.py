"""The main job on machines that boot, with a client to its end: stopped machines train, and are stopped again.

The tests go in the order of the file, after those of test_left_alone.py, whose last run no client has taken over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.figures import Figures


@pytest.mark.usefixtures("left")
def test_down_stops_every_machine_and_takes_over_the_run_that_had_no_client(cluster: Cluster, client: Client) -> None:
    *_, run = json.loads(client.run("runs", "--json")[1])["runs"]
    _, said = client.run("down")
    assert f"run {run['id']} succeeded" in said
    *_, judged = json.loads(client.run("runs", "--json")[1])["runs"]
    assert (judged["id"], bool(judged["proofs"])) == (run["id"], True)
    assert not any(machine.is_on for machine in cluster.machines.values())


@pytest.mark.usefixtures("left")
def test_a_training_leaves_a_model_and_every_machine_off(cluster: Cluster, client: Client, figures: Figures) -> None:
    # Spark's is the one that runs on Debian 12's Java, not the one that pio-tf.hcl names.
    took, said = client.run("train", "--skip-check", "java")
    figures.add_command("pio-tf train, from stopped to stopped", took)
    assert "Training completed successfully." in said
    assert not any(machine.is_on for machine in cluster.machines.values())
