"""The engine on a cluster's driver, as commands use it: pushed and built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import Fleet
    from pio_tf.context import ClusterContext
    from pio_tf.engine.push import PushedEngine
    from pio_tf.model import Outputs
    from pio_tf.training.driver_session import DriverSession


@dataclass(frozen=True)
class EngineOnDriver:
    """The engine's directory on the driver. The driver must run; no run may be active while the directory changes."""

    context: ClusterContext
    fleet: Fleet
    driver: Driver

    def push(
        self, outputs: Outputs, directory: Path | None, *, build: bool = False, dry_run: bool = False
    ) -> tuple[PushedEngine, Path | None]:
        """Bring an engine's sources to the driver. Return what changed there, and the build's log if it was built.

        Args:
            directory: default: ``pio.engine.source``.
            build: run `pio build` then.
            dry_run: change nothing.
        """
        from pio_tf.engine.push import look_and_plan, push_engine
        from pio_tf.engine.sources import read_sources

        config = self.context.config
        directory = directory or config.pio.engine.source
        if directory is None:
            raise ConfigError(
                "which engine?", cause=f"{config.path.name} names none", next_step="pio-tf engine push DIR"
            )
        sources = read_sources(config, directory)
        view, outputs = self.driver.running(outputs)
        sizing = self.fleet.sizing(view.running)

        async def work(session: DriverSession) -> tuple[PushedEngine, Path | None]:
            if dry_run:
                return await look_and_plan(session.connection, config, sources), None
            async with session.hold_for_engine():
                pushed = await push_engine(
                    session.connection, config, sources, by=str(session.client), reporter=self.context.report
                )
                log = await session.build() if build else None
                await session.renew_schedule(outputs, sizing)
            return pushed, log

        return self.driver.session(view, work)
