"""Checks before a training: they find in seconds what would fail after hours. docs/checks.md lists them."""

from __future__ import annotations

from pio_tf.training.preflight.checks import CHECKS, check_names, refuse_failed, run_checks
from pio_tf.training.preflight.context import CheckResult, Limits

__all__ = ["CHECKS", "CheckResult", "Limits", "check_names", "refuse_failed", "run_checks"]
