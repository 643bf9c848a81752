"""One cluster, and everything that can be done to it from Python.

::

    from pio_tf import Cluster

    cluster = Cluster.load("pio-tf.hcl")
    run = cluster.train(["--total-executor-cores", "16"])
    print(run.id, run.seconds, run.model)
"""

from __future__ import annotations

from pio_tf.cluster.cluster import Cluster
from pio_tf.cluster.deadline import Extended
from pio_tf.cluster.listing import ClusterSummary
from pio_tf.cluster.power import IDLE_FOR, ClusterStatus
from pio_tf.cluster.resize import MachineSize, Resize
from pio_tf.cluster.scheduling import ScheduleStatus
from pio_tf.cluster.size_advice import SizeAdvice
from pio_tf.cluster.spending import Month, Spending

__all__ = [
    "IDLE_FOR",
    "Cluster",
    "ClusterStatus",
    "ClusterSummary",
    "Extended",
    "MachineSize",
    "Month",
    "Resize",
    "ScheduleStatus",
    "SizeAdvice",
    "Spending",
]
