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

_MODULE_OF = {
    name: module
    for module, names in {
        "cluster.cluster": ("Cluster",),
        "cluster.deadline": ("Extended",),
        "cluster.listing": ("ClusterSummary",),
        "cluster.resize": ("MachineSize", "Resize"),
        "cluster.scheduling": ("ScheduleStatus",),
        "cluster.size_advice": ("SizeAdvice",),
        "cluster.spending": ("Month", "Spending"),
        "cluster.status": ("ClusterStatus",),
        "config.load": ("load_config",),
        "config.schema": ("Config",),
        "errors": (
            *("AwsError", "ConfigError", "GuardRefused", "Interrupted", "Locked", "MachinesMayBeRunning", "NotReady"),
            *("PioTfError", "RemoteError", "SandboxError", "TerraformError", "TrainingFailed"),
        ),
        "events": (
            *("Checked", "Done", "DownloadProgress", "Event", "MachineProgress", "OutputLine", "OutputLines"),
            *("Reporter", "ResourceProgress", "Step", "TrainingProgress", "Warned"),
        ),
        "infra.cost": ("Prices",),
        "infra.drift": ("Drift",),
        "infra.plan": ("Plan",),
        "model": ("Machine", "Outputs"),
        "training.custody.models": ("KeptModel", "Rollback"),
        "training.preflight": ("CheckResult",),
        "training.runs.record": ("RunRecord",),
        "training.spark_usage": ("SparkUsage",),
    }.items()
    for name in names
}
"""The module of each name that is not here."""

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
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return found
