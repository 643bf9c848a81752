"""Evidence that a run has left a model: the engine on the driver, and Elasticsearch before and after the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.storage import ElasticsearchBlock
from pio_tf.errors import PioTfError
from pio_tf.events import Warned
from pio_tf.pio.engine import read_engine
from pio_tf.remote.bash import shell_path
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.preflight.probe import variant_path
from pio_tf.training.proof import Before, Proof, Traces, look_before, prove

if TYPE_CHECKING:
    from pio_tf.context import ClusterContext
    from pio_tf.pio.engine import Engine
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.runs.record import RunRecord


class Evidence:
    """The engine and the Elasticsearch of one cluster, asked through the driver."""

    def __init__(self, context: ClusterContext, remote: ClusterConnection) -> None:
        self._context = context
        self._config = context.config
        self._remote = remote

    async def before(self) -> tuple[Engine | None, Traces, Before]:
        """Return the engine, the traces that its run will leave, and what Elasticsearch has of them now.

        The engine is None if engine.json can't be read: then the user has skipped the check of it.
        """
        engine, version = await self._engine()
        traces = self._traces(engine, version)
        return engine, traces, await look_before(self._elasticsearch(), traces)

    async def after(self, record: RunRecord, success_line_seen: bool) -> tuple[Proof, ...]:
        """Return the proofs of a run that has ended. Ask Elasticsearch only if the run says that it succeeded."""
        claims_success = record.exit_status == 0 and success_line_seen
        return await prove(
            self._elasticsearch() if claims_success else None,
            Traces(**{**record.traces, "aliases": tuple(record.traces.get("aliases", ()))}),
            Before(**record.before),
            started=record.started or 0.0,
            exit_status=record.exit_status,
            success_line_seen=success_line_seen,
        )

    def _traces(self, engine: Engine | None, version: str) -> Traces:
        metadata = self._config.repository.metadata
        kept_in = {source.name: source.block for source in self._config.sources}.get(metadata.source)
        return Traces(
            engine_factory=engine.engine_factory if engine else "",
            engine_variant=engine.id if engine else "",
            metadata=metadata.name if isinstance(kept_in, ElasticsearchBlock) and engine else "",
            engine_version=version,
            aliases=engine.indices if engine else (),
        )

    async def _engine(self) -> tuple[Engine | None, str]:
        """Return engine.json and the engine's version."""
        directory, variant = shell_path(self._config.pio.engine_dir), shell_path(variant_path(self._config))
        program = f"printf %s \"$(readlink -f {directory})\" | sha1sum | cut -d' ' -f1 && cat -- {variant}"
        done = await self._remote.run(self._remote.driver.name, program)
        version, _, text = done.stdout.partition("\n")
        try:
            return (read_engine(text), version) if done.exit_status == 0 else (None, "")
        except PioTfError:
            return None, ""

    def _elasticsearch(self) -> ElasticsearchClient | None:
        """Return the source ELASTICSEARCH: the Universal Recommender's, and the guide's for metadata."""
        block = next((source.block for source in self._config.sources if source.name == "ELASTICSEARCH"), None)
        if not isinstance(block, ElasticsearchBlock):  # none, or Elasticsearch 1.x without REST
            return None
        try:
            password = self._context.secrets.reveal(block.password) if block.password else None
        except PioTfError as error:
            self._context.report(Warned(f"Elasticsearch is not asked, for want of its password: {error.what}"))
            return None
        return ElasticsearchClient(self._remote, block.nodes, user=block.user, password=password)
