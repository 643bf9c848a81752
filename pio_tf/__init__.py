"""pio-tf: create the training machines of an Apache PredictionIO system once, then only start and stop them.

The public surface is :class:`Cluster`, :class:`Config` (through :func:`load_config`), the events that report
progress and the errors. Names are imported when they are first asked for, so that ``pio-tf --help`` does not pay
for boto3 or pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.version import __version__

if TYPE_CHECKING:
    from pio_tf.cluster import Cluster as Cluster
    from pio_tf.config.load import load_config as load_config
    from pio_tf.config.schema import Config as Config
    from pio_tf.errors import PioTfError as PioTfError

_EXPORTS = {
    "Cluster": "pio_tf.cluster",
    "Config": "pio_tf.config.schema",
    "PioTfError": "pio_tf.errors",
    "load_config": "pio_tf.config.load",
}

__all__ = ["Cluster", "Config", "PioTfError", "__version__", "load_config"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
