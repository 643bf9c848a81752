"""Checks before a training: they find in seconds what would fail after hours. docs/checks.md lists them."""

from __future__ import annotations

from pio_tf.training.preflight.checks import CHECKS, check_names, refuse_failed, run_checks
from pio_tf.training.preflight.context import CheckResult, Limits
from pio_tf.training.preflight.engine_checks import build_engine

__all__ = ["CHECKS", "CheckResult", "Limits", "build_engine", "check_names", "refuse_failed", "run_checks"]
