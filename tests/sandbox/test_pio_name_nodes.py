"""The stand-in for PredictionIO and the name nodes of a nameservice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.pio.files import render_files
from pio_tf.pio.secrets import Secrets
from pio_tf.sandbox.pio.storage import name_node_failure
from pio_tf.sandbox.services import LocalServices
from tests.pio.sizes import SIZING
from tests.sandbox.driver import CLOSED_PORT
from tests.support.builders import OUTPUTS, make_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("up", [True, False])
def test_a_model_is_written_if_one_name_node_of_the_nameservice_answers(tmp_path: Path, *, up: bool) -> None:
    with LocalServices() as services:
        second = services.where.namenode if up else CLOSED_PORT
        nodes = [f"{services.where.host}:{port}" for port in (CLOSED_PORT, second)]
        config = make_config(hdfs={"namenode": None, "nameservice": "mycluster", "namenodes": nodes})
        for file in render_files(config, OUTPUTS, SIZING, Secrets().reveal):
            (tmp_path / file.name).write_text(file.content)
        failure = name_node_failure({"HADOOP_CONF_DIR": str(tmp_path)})
    assert (failure == "") == up
    assert up or "to mycluster failed on connection exception" in failure
