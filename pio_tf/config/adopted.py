"""A pio-tf.hcl for machines that exist already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pio_tf.config.hcl_writer import Value, attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

_POWER_ONLY = """\
# Machines that exist already. pio-tf starts them, trains on them and stops them, by their ids. It changes nothing on
# them, and there is no Terraform. Every option: docs/configuration.md. To check this file: pio-tf validate
"""
_TERRAFORM = """\
# Machines that exist already. Terraform imports and tags them, and makes the role and the alarms that stop them. It
# changes nothing else on them. Every option: docs/configuration.md. To check this file: pio-tf validate
"""


class AdoptedCluster(Struct, frozen=True):
    """The contents of such a file.

    Args:
        ids: instance ids, by the names of the machines: driver, master, worker-1 …
        about: a line about each machine as it is, by the same, for comments.
        terraform: options of that block, for machines that Terraform imports; None: there is no Terraform.
        aws, ssh: options of these blocks.
        start_command: what starts Spark; empty: a unit on the machines.
        pio_version: empty: the usual one.
        blocks: the storage that pio-env.sh names, for checks and proofs.
        role_arn: the role for deadlines; empty: Terraform makes one, if ``role``.
        role: False: there is none.
        small_driver: whether the driver has less memory than a driver of the Universal Recommender needs.
    """

    name: str
    aws: Mapping[str, Value]
    ids: Mapping[str, str]
    ssh: Mapping[str, Value]
    engine_dir: str
    pio_home: str = "/usr/local/pio"
    spark_home: str = "/usr/local/spark"
    start_command: str = ""
    pio_version: str = ""
    blocks: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    role_arn: str = ""
    role: bool = True
    small_driver: bool = False
    about: Mapping[str, str] = field(default_factory=dict)
    terraform: Mapping[str, Value] | None = None


def render_adopted(cluster: AdoptedCluster) -> str:
    """Return the text of the file, which loads as it is."""
    workers = [one for name, one in cluster.ids.items() if name not in ("driver", "master")]
    spark: dict[str, Value] = {"home": cluster.spark_home, "start_command": cluster.start_command or None}
    pio: dict[str, Value] = {"home": cluster.pio_home, "version": cluster.pio_version or None}
    pio |= {"engine_dir": cluster.engine_dir, "keep_files": True}
    machines: dict[str, Value] = {"driver": cluster.ids["driver"], "master": cluster.ids["master"], "workers": workers}
    failsafe: dict[str, Value] = {"role_arn": cluster.role_arn} if cluster.role_arn else {"role": False}
    is_made = cluster.terraform is not None and cluster.role and not cluster.role_arn
    about = (f"{name}: {line}" for name in cluster.ids if (line := cluster.about.get(name)))
    return "\n".join(
        (
            _POWER_ONLY if cluster.terraform is None else _TERRAFORM,
            _block("cluster", {"name": cluster.name}),
            _block("aws", cluster.aws),
            *(f"# {line}" for line in about),
            _block("machines", machines if cluster.terraform is None else {**machines, "terraform": True}),
            _block("ssh", cluster.ssh),
            *((_block("driver", {"allow_small_memory": True}),) * cluster.small_driver),
            _block("spark", spark),
            "# With keep_files, pio-env.sh and the other files on the driver stay as they are.",
            _block("pio", pio),
            *(("# Read from pio-env.sh, for checks and proofs.",) * bool(cluster.blocks)),
            *(_block(name, block) for name, block in cluster.blocks.items()),
            *((_block("terraform", cluster.terraform),) if cluster.terraform else ()),
            *(() if is_made else ("# The role with which AWS stops the machines at their deadline.",)),
            *(() if is_made else (_block("failsafe", failsafe),)),
        )
    )


def _block(name: str, values: Mapping[str, Value]) -> str:
    return f"{name} {{\n{attributes(values, indent=2)}}}\n"
