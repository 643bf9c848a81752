"""The engine instances of one engine: which one `pio deploy` takes, and how another one becomes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.events import Warned
from pio_tf.training.engine_instances import COMPLETED, REJECTED, read_instances, set_status

if TYPE_CHECKING:
    from pio_tf.events import Reporter
    from pio_tf.training.elasticsearch_client import ElasticsearchClient
    from pio_tf.training.engine_instances import EngineInstance
    from pio_tf.training.proof import Traces


class ServedInstance(Struct, frozen=True):
    """The engine instance that PredictionIO serves: the newest of the engine that is COMPLETED.

    Every method raises RemoteError if Elasticsearch does not answer.
    """

    es: ElasticsearchClient
    traces: Traces
    report: Reporter

    async def trained(self) -> list[EngineInstance]:
        """Return the engine's instances that have a model, the newest first; none if the metadata is elsewhere."""
        if not self.traces.metadata:
            return []
        found = await read_instances(self.es, self.traces.metadata) or []
        return [one for one in found if self.traces.include(one) and one.status in (COMPLETED, REJECTED)]

    async def find(self) -> str:
        """Return the id of the instance that is served; empty: there is none, or it is unknown."""
        return next((one.id for one in await self.trained() if one.status == COMPLETED), "")

    async def reject(self, instance: str) -> None:
        """Let PredictionIO not serve an instance."""
        for one in await self.trained():
            if one.id == instance:
                await set_status(self.es, one, REJECTED)

    async def change(self, instance: str) -> dict[str, str]:
        """Make an instance the one that is served. Return the instances with another status, and that.

        If it is unknown, warn and change nothing.
        """
        trained = await self.trained()
        target = next((one for one in trained if one.id == instance), None)
        if target is None:
            has = f"it has no engine instance {instance or 'of that model'}"
            why = has if self.traces.metadata else "it is not in Elasticsearch"
            self.report(Warned(f"PredictionIO's metadata stays as it is: {why}"))
            return {}
        changes = [(one, REJECTED) for one in trained if one.started > target.started and one.status == COMPLETED]
        changes += [(target, COMPLETED)] if target.status != COMPLETED else []
        for one, status in changes:
            await set_status(self.es, one, status)
        return {one.id: status for one, status in changes}
