"""A configuration, outputs and targets for tests, without a pio-tf.hcl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pio_tf.config.schema import Config
from pio_tf.model import MachineOutput, Outputs

OUTPUTS = Outputs(
    cluster="ur",
    region="eu-west-1",
    machines=(
        MachineOutput("driver", "driver", "i-0d", "10.0.0.10"),
        MachineOutput("master", "master", "i-0a", "10.0.0.11"),
        MachineOutput("worker-1", "worker", "i-01", "10.0.0.12"),
        MachineOutput("worker-2", "worker", "i-02", "10.0.0.13"),
    ),
)


def make_config(directory: Path = Path("/nowhere"), **blocks: dict[str, Any]) -> Config:
    """Return the smallest configuration; each keyword adds to the block of that name.

    ``directory`` is pio-tf.hcl's.
    """
    values: dict[str, dict[str, Any]] = {
        "cluster": {"name": "ur"},
        "aws": {"region": "eu-west-1"},
        "network": {"cidr": "10.0.0.0/24"},
        "ssh": {"key": "id_ed25519"},
        "pio": {"engine_dir": "~/ur"},
        "elasticsearch": {"hosts": ["es1", "es2"]},
        "hbase": {"hosts": ["hb1"]},
        "hdfs": {"namenode": "nn"},
    }
    for name, block in blocks.items():
        values[name] = {**values.get(name, {}), **block}
    config = Config.model_validate(values)
    config._path = directory / "pio-tf.hcl"
    return config
