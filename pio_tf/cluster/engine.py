"""The engine on a cluster's driver, as commands use it: pushed, built, saved and restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import ConfigError
from pio_tf.events import Done

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import Fleet
    from pio_tf.context import ClusterContext
    from pio_tf.engine.archive import ArchivedEngine
    from pio_tf.engine.archive_place import ArchivePlace, SavedEngine
    from pio_tf.engine.push import PushedEngine
    from pio_tf.model import Outputs
    from pio_tf.training.driver_session import DriverSession


class EngineOnDriver(Struct, frozen=True):
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
                "there is no engine to push",
                cause=f"{config.path.name} has no pio.engine.source",
                next_step="give the engine's directory: pio-tf engine push DIR",
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

    def save(self, outputs: Outputs, target: str) -> SavedEngine:
        """Keep the engine, its build and sbt's caches as one archive.

        Args:
            target: a directory, or ``s3://bucket/prefix``; empty: ``engines`` beside the runs on this computer.
        """
        from pio_tf.engine.archive import save_engine
        from pio_tf.engine.archive_place import SavedEngine, archive_name

        place, name = self._place(target), archive_name(self.context.config.cluster.name)
        view, _ = self.driver.running(outputs)
        with place.write(name) as new:

            async def work(session: DriverSession) -> tuple[ArchivedEngine, str]:
                async with session.hold_for_engine():
                    return await save_engine(
                        session.connection, self.context.config, new.file, reporter=self.context.report
                    )

            facts, new.sha512 = self.driver.session(view, work)
            size = new.file.tell()
        address = place.address(name)
        self.context.report(Done(f"saved the engine ({size / 1e6:,.1f} MB): {address}"))
        return SavedEngine(address, new.sha512, size, facts)

    def restore(self, outputs: Outputs, archive: str, *, replace: bool = False) -> SavedEngine:
        """Bring an archive to the driver.

        Args:
            archive: a file, a directory with archives (the newest is taken), or ``s3://bucket/prefix/….tar.gz``; empty:
                the newest that :meth:`save` has kept on this computer.
            replace: put it in the place of an engine that is there, which is kept.
        """
        from pio_tf.engine.archive import restore_engine
        from pio_tf.engine.archive_place import SavedEngine

        view, outputs = self.driver.running(outputs)
        sizing = self.fleet.sizing(view.running)
        with self._place(archive).read() as found:

            async def work(session: DriverSession) -> ArchivedEngine:
                async with session.hold_for_engine():
                    facts = await restore_engine(
                        session.connection,
                        self.context.config,
                        found.path,
                        replace=replace,
                        reporter=self.context.report,
                    )
                    await session.renew_schedule(outputs, sizing)
                return facts

            facts = self.driver.session(view, work)
            return SavedEngine(found.address, found.sha512, found.path.stat().st_size, facts)

    def _place(self, where: str) -> ArchivePlace:
        from pio_tf.engine.archive_place import find_place

        default = self.context.config.work_dir / "engines"
        return find_place(where, default=default, s3=lambda: self.context.aws.client("s3"))
