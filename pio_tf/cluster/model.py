"""The models of a cluster's engine, which the driver asks Elasticsearch for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict, replace

if TYPE_CHECKING:
    from pio_tf.cluster.driver import Driver
    from pio_tf.context import ClusterContext
    from pio_tf.model import Outputs
    from pio_tf.training.custody.models import KeptModel, Rollback
    from pio_tf.training.driver_session import DriverSession


class ModelsOfEngine(Struct, frozen=True):
    """The models of the engine on the driver, which must run."""

    context: ClusterContext
    driver: Driver

    def list(self, outputs: Outputs) -> tuple[KeptModel, ...]:
        """Return the model that is served, then the others, the newest first."""
        from pio_tf.training.custody.models import Models

        view, _ = self.driver.running(outputs, strict=False)
        return self.driver.session(view, lambda session: Models(self.context, session.connection).list())

    def roll_back(self, outputs: Outputs, wanted: str, *, force: bool) -> Rollback:
        """Serve another model again; no run begins meanwhile. Arguments as of :meth:`Cluster.roll_back_model`."""
        from pio_tf.training.custody.models import Models

        async def work(session: DriverSession) -> Rollback:
            async with session.hold_for_model():
                by = f"{session.client.owner} on {session.client.host}"
                done = await Models(self.context, session.connection).roll_back(wanted, by=by, force=force)
                await _note(session, done)
                return done

        view, _ = self.driver.running(outputs, strict=False)
        return self.driver.session(view, work)


async def _note(session: DriverSession, done: Rollback) -> None:
    """Let the record of the last run, if its model was unfit, know that another one is served."""
    from pio_tf.training.custody.custody import Custody, not_put_back

    records = [run.to_record() for run in (await session.state()).runs if run.result is not None]
    if not_put_back(records):
        custody = Custody.of(records[-1])
        record = records[-1].with_(custody=asdict(replace(custody, put_back={**custody.put_back, **done.served})))
        await session.driver_runs.keep(record)
        session.storage.archive.save(record)
