"""``clock``: the driver's time is this computer's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.training.preflight.model import Finding, failed, ok, warning

if TYPE_CHECKING:
    from pio_tf.training.preflight.model import Preflight

_NEXT = (
    "see which of the two clocks is wrong, this computer's or the driver's (timedatectl), which EC2's own time service "
    "at 169.254.169.123 keeps right where chrony asks it"
)


async def check_clock(preflight: Preflight) -> Finding:
    """Compare the driver's time with ours in the middle of the question's way there and back."""
    remote, limits = preflight.remote, preflight.limits
    await remote.connection(remote.driver.name)  # so that only the question takes time
    asked = preflight.now()
    done = await preflight.ask("date +%s.%N", timeout=limits.driver)
    answered = preflight.now()
    try:
        driver = float(done.stdout)
    except ValueError:
        return warning(f"the driver does not say what time it is: {done.stderr.strip()[:200]}", _NEXT)
    ahead = driver - (asked + answered) / 2
    # Half the way there and back is a guess: the answer may have been given at any moment of it.
    off = max(0.0, abs(ahead) - (answered - asked) / 2)
    detail = f"the driver is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this computer"
    if off > limits.clock_failed:
        return failed(f"{detail}: AWS refuses requests that are more than 5 minutes off", _NEXT)
    if off > limits.clock_warning:
        return warning(detail, _NEXT)
    return ok(f"{abs(ahead):.1f} s off")
