"""The workers of a training that needs only some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.cluster.messages import names
from pio_tf.errors import ConfigError, NotReady
from pio_tf.events import Warned

if TYPE_CHECKING:
    from pio_tf.cluster.fleet import FleetView
    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.model import Outputs


def check_workers(config: Config, workers: int | None) -> None:
    """Raise ConfigError unless a cluster has so many workers; None: all."""
    most = config.spark.workers
    if workers is not None and not 1 <= workers <= most:
        cluster = f"{config.cluster.name} has {most} worker{'' if most == 1 else 's'}"
        more = "name more instances in machines.workers" if config.power_only else "set spark.workers for more"
        raise ConfigError(
            f"cannot train with {workers} workers: {cluster}",
            next_step=f"choose a number from 1 to {most}, or leave it out for all; {more}",
            details={"workers": workers, "most": most},
        )


def choose_workers(outputs: Outputs, view: FleetView, workers: int, report: Reporter) -> Outputs:
    """Return the outputs with so many workers: first those that run, then by number.

    Others that run keep running: another user may want them, and a new machine runs from its creation on. Spark may
    place the executors on them instead.

    Raises:
        NotReady: there are fewer.
    """
    if len(outputs.workers) < workers:
        raise NotReady(
            f"{outputs.cluster} has {len(outputs.workers)} of the {workers} workers so far",
            next_step="run `pio-tf apply`, or train without --no-apply",
        )
    on = {machine.name for machine in view.on}
    chosen = sorted(outputs.workers, key=lambda one: one.name not in on)[:workers]
    kept = outputs.only({one.name for one in chosen})
    beside = [one for one in view.on if one.role == "worker" and one.name not in {other.name for other in chosen}]
    if beside:
        verb = "runs, too: it is" if len(beside) == 1 else "run, too: they are"
        needed = "1 worker" if workers == 1 else f"{workers} workers"
        report(Warned(f"{names(beside)} {verb} not needed for {needed}, and billed"))
    return kept
