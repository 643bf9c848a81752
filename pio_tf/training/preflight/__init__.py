"""The preflight: what a training needs is looked at before a second of it is paid for. docs/checks.md says what."""

from __future__ import annotations

from pio_tf.training.preflight.build import build_engine
from pio_tf.training.preflight.checks import CHECKS, check_names, refuse_failed, run_checks
from pio_tf.training.preflight.model import CheckResult, Limits

__all__ = ["CHECKS", "CheckResult", "Limits", "build_engine", "check_names", "refuse_failed", "run_checks"]
