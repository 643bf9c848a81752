"""pio-tf: create the training machines of an Apache PredictionIO system once, then only start and stop them.

``__all__`` is the public API; docs/python.md describes it. A name is imported when it is first asked for, so that
``pio-tf --help`` does not pay for boto3 or pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.version import __version__

if TYPE_CHECKING:
    from pio_tf.cluster.cluster import Cluster
    from pio_tf.cluster.deadline import Extended
    from pio_tf.cluster.listing import ClusterSummary
    from pio_tf.cluster.resize import MachineSize, Resize
    from pio_tf.cluster.scheduling import ScheduleStatus
    from pio_tf.cluster.size_advice import SizeAdvice
    from pio_tf.cluster.spending import Month, Spending
    from pio_tf.cluster.status import ClusterStatus
    from pio_tf.config.load import load_config
    from pio_tf.config.schema import Config
    from pio_tf.errors import (
        AwsError,
        ConfigError,
        GuardRefused,
        Interrupted,
        Locked,
        MachinesMayBeRunning,
        NotReady,
        PioTfError,
        RemoteError,
        SandboxError,
        TerraformError,
        TrainingFailed,
    )
    from pio_tf.events import (
        Checked,
        Done,
        DownloadProgress,
        Event,
        MachineProgress,
        OutputLine,
        OutputLines,
        Reporter,
        ResourceProgress,
        Step,
        TrainingProgress,
        Warned,
    )
    from pio_tf.infra.cost import Prices
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan
    from pio_tf.model import Machine, Outputs
    from pio_tf.training.custody.models import KeptModel, Rollback
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.runs.record import RunRecord
    from pio_tf.training.spark_usage import SparkUsage

_MODULES = (
    *("errors", "events", "model", "config.load", "config.schema", "infra.cost", "infra.drift", "infra.plan"),
    *("training.runs.record", "training.spark_usage", "training.preflight", "training.custody.models"),
    *("cluster.listing", "cluster.spending", "cluster.size_advice", "cluster.resize", "cluster.scheduling"),
    *("cluster.deadline", "cluster.status", "cluster.cluster"),
)
"""The modules of these names, those that import little first."""

__all__ = [
    "AwsError",
    "CheckResult",
    "Checked",
    "Cluster",
    "ClusterStatus",
    "ClusterSummary",
    "Config",
    "ConfigError",
    "Done",
    "DownloadProgress",
    "Drift",
    "Event",
    "Extended",
    "GuardRefused",
    "Interrupted",
    "KeptModel",
    "Locked",
    "Machine",
    "MachineProgress",
    "MachineSize",
    "MachinesMayBeRunning",
    "Month",
    "NotReady",
    "OutputLine",
    "OutputLines",
    "Outputs",
    "PioTfError",
    "Plan",
    "Prices",
    "RemoteError",
    "Reporter",
    "Resize",
    "ResourceProgress",
    "Rollback",
    "RunRecord",
    "SandboxError",
    "ScheduleStatus",
    "SizeAdvice",
    "SparkUsage",
    "Spending",
    "Step",
    "TerraformError",
    "TrainingFailed",
    "TrainingProgress",
    "Warned",
    "__version__",
    "load_config",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module in _MODULES if name in __all__ else ():
        found = getattr(import_module(f"pio_tf.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
