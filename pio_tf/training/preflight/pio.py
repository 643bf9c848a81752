"""``pio`` and ``pio-status``: PredictionIO is there, and itself finds everything that it needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.remote.paths import shell_path
from pio_tf.remote.process import in_bash
from pio_tf.training.preflight.model import Finding, failed, ok
from pio_tf.training.redact import Redactor

if TYPE_CHECKING:
    from pio_tf.training.preflight.model import Preflight

READY = "Your system is all ready to go."
_ERROR = re.compile(r"\[ERROR\]\s*(?:\[[^\]]*\]\s*)?(.+)")
_STORAGE = ("error message from the storage backend.", "Dumping configuration")
"""Between these two lines stands what the storage said; after the second one, its configuration with passwords."""
_QUOTED = 3
"""Lines: the first errors tell, the others follow from them."""


async def check_pio(preflight: Preflight) -> Finding:
    """Whether PIO_HOME/bin/pio can be run."""
    path = f"{preflight.config.pio.home}/bin/pio"
    kind = (await preflight.driver_facts()).pio
    if kind == "executable":
        return ok(path)
    if kind == "missing":
        return failed(
            f"{path} is not there",
            f"install PredictionIO {preflight.config.pio.version} on the driver (its disk stays), or set pio.home in "
            f"{preflight.config.where('pio.home')}",
        )
    return failed(f"{path} is not executable", f"on the driver: chmod +x {path}")


async def check_pio_status(preflight: Preflight) -> Finding:
    """Run `pio status`, which opens every storage. It asks neither Spark's master nor its workers."""
    pio = shell_path(f"{preflight.config.pio.home}/bin/pio")
    command = in_bash(f"{pio} status 2>&1", login=True)
    done = await preflight.ask(command, timeout=preflight.limits.pio_status)
    if done.exit_status == 0 and READY in done.stdout:
        return ok(READY)
    redactor = Redactor(preflight.secrets.values)
    lines = [redactor.redact(line.strip()) for line in done.stdout.splitlines() if line.strip()]
    said = "; ".join(_errors(lines) or lines[-1:]) or "it said nothing"
    return failed(
        f"pio status ended with {done.exit_status}: {said}",
        f"run it on the driver: {preflight.config.pio.home}/bin/pio status; `pio-tf config push` writes its pio-env.sh",
    )


def _errors(lines: list[str]) -> list[str]:
    """The first errors, and what the storage said of one."""
    quoted: list[str] = []
    storage = False
    for line in lines:
        match = _ERROR.match(line)
        if match:
            quoted.append(match[1])
        if _STORAGE[1] in line:
            storage = False
        elif storage:
            quoted.append(line)
        if _STORAGE[0] in line:
            storage = True
    return quoted[:_QUOTED]
