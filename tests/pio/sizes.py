"""Heaps for tests."""

from __future__ import annotations

from pio_tf.config.sizing import Sizing

SIZING = Sizing(driver_memory="20g", executor_memory="22g", executor_cores=4, executors=2)
