"""What is done before a run: machines are named, provisioned and configured, the training is checked, and what there
is already is looked at."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from pio_tf.config.storage import ElasticsearchBlock
from pio_tf.errors import PioTfError, RemoteError
from pio_tf.events import Done, Step, Warned
from pio_tf.infra.bootstrap import host_name, render_script, settings_for
from pio_tf.pio.command import settings_in_force
from pio_tf.pio.engine import read_engine, with_engine
from pio_tf.pio.files import render_files
from pio_tf.pio.sources import find_elasticsearch
from pio_tf.pio.spark_defaults import ui_port
from pio_tf.remote.paths import shell_path
from pio_tf.training.connection import Connecting
from pio_tf.training.elasticsearch import Elasticsearch
from pio_tf.training.first_boot import Prepared, complete_hosts, provision, roll_back
from pio_tf.training.preflight import run_checks
from pio_tf.training.preflight.probe import variant_path
from pio_tf.training.proof import Traces, look_before
from pio_tf.training.redact import Redactor
from pio_tf.training.runs.record import RunRecord
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.engine import Engine
    from pio_tf.remote.files import Put
    from pio_tf.remote.ssh import Remote
    from pio_tf.training.preflight import CheckResult


class Preparing(Connecting):
    """Machines that are made ready for a run."""

    async def configure(self, outputs: Outputs, sizing: Sizing) -> None:
        """Wait until the machines answer and Spark has its workers; then write the driver's files."""
        async with self._ready() as remote:
            await self._name_machines(remote, outputs)
            await self._push(remote, outputs, sizing)

    async def provision(
        self, outputs: Outputs, machines: Sequence[str], *, component: str = ""
    ) -> tuple[Prepared, ...]:
        """Prepare machines as at their first boot, all at once; no run begins meanwhile.

        Args:
            machines: their names.
            component: go back to the version of it that was in use before, instead.

        Raises:
            Locked: a run is active, or being prepared.
            RemoteError: a machine could not be prepared; all are named, the others are.
        """

        async def one(name: str) -> Prepared:
            if component:
                return await roll_back(remote, name, component, reporter=self.reporter)
            script = render_script(settings_for(self.config, outputs, name))
            return await provision(remote, name, script, reporter=self.reporter)

        async with self._connected() as remote, self._lock(remote, doing="provisioning"):
            done = await asyncio.gather(*(one(name) for name in machines), return_exceptions=True)
        failures = [result for result in done if isinstance(result, BaseException)]
        for failure in failures:
            if len(failures) == 1 or not isinstance(failure, RemoteError):
                raise failure
        if failures:
            errors = [failure for failure in failures if isinstance(failure, RemoteError)]
            raise RemoteError(
                f"{len(errors)} machines could not be provisioned: "
                + ", ".join(str(error.details.get("machine")) for error in errors),
                cause="; ".join(f"{error.what}: {error.cause}" for error in errors),
                next_step="once the reason is gone: pio-tf provision",
                details={"machines": [error.details.get("machine") for error in errors], "kind": "provision"},
            ) from errors[0]
        return tuple(result for result in done if isinstance(result, Prepared))

    async def push(self, outputs: Outputs, sizing: Sizing) -> tuple[Put, ...]:
        """Write the driver's files, where they differ. Returns what became of each."""
        async with self._connected() as remote:
            return await self._push(remote, outputs, sizing)

    async def check(self, outputs: Outputs, sizing: Sizing, *, skip: Sequence[str] = ()) -> tuple[CheckResult, ...]:
        """All that is looked at before a training."""
        async with self._connected() as remote:
            return await self._check(remote, outputs, sizing, settings_in_force(self.config, outputs, sizing), skip)

    async def _name_machines(self, remote: Remote, outputs: Outputs) -> None:
        """All machines know all by name: also those of which only this client knows the addresses."""
        hosts = {host_name(one.name): one.private_ip for one in outputs.machines}
        await complete_hosts(remote, [target.name for target in self._targets], hosts)

    async def _push(self, remote: Remote, outputs: Outputs, sizing: Sizing) -> tuple[Put, ...]:
        put = await remote.put_files(remote.driver.name, render_files(self.config, outputs, sizing, self.secrets()))
        for file in put:
            if file.kept:
                self.reporter(
                    Warned(f"{file.name} on the driver was not pio-tf's: what was there is kept as {file.kept}")
                )
        changed = [file.name for file in put if file.changed]
        self.reporter(Done(f"wrote {', '.join(changed)} on the driver" if changed else "the driver is configured"))
        return put

    async def _check(
        self, remote: Remote, outputs: Outputs, sizing: Sizing, settings: Mapping[str, str], skip: Sequence[str]
    ) -> tuple[CheckResult, ...]:
        self.reporter(Step("Checking what the training needs"))
        return await run_checks(
            self.config,
            remote,
            outputs=outputs,
            sizing=sizing,
            secrets=self.secrets(),
            settings=settings,
            skip=skip,
            reporter=self.reporter,
        )

    async def _record(
        self, remote: Remote, run: str, command: str, settings: Mapping[str, str], *, absent: tuple[str, ...]
    ) -> RunRecord:
        """Of a run that is about to begin, with what Elasticsearch has before it."""
        engine, version = await self._engine(remote)
        traces = self._traces(engine, version)
        before = await look_before(self._elasticsearch(remote), traces)
        return RunRecord(
            id=run,
            cluster=self.config.cluster.name,
            client=self.client,
            command=Redactor(self.secrets().values).redact(command),
            engine_dir=self.config.pio.engine_dir,
            machines=tuple(f"{one.name} {one.instance_type} {one.instance_id}" for one in self.machines),
            absent=absent,
            pio_tf=__version__,
            upload=self.upload_to,
            ui_port=ui_port(with_engine(settings, engine) if engine else settings),
            traces=dataclasses.asdict(traces),
            before=dataclasses.asdict(before),
            deadline=self.deadline.at.isoformat() if self.deadline and self.deadline.at else "",
        )

    def _traces(self, engine: Engine | None, version: str) -> Traces:
        metadata = self.config.repository.metadata
        kept_in = {source.name: source.block for source in self.config.sources}.get(metadata.source)
        return Traces(
            engine_factory=engine.engine_factory if engine else "",
            engine_variant=engine.id if engine else "",
            metadata=metadata.name if isinstance(kept_in, ElasticsearchBlock) and engine else "",
            engine_version=version,
            aliases=engine.indices if engine else (),
        )

    async def _engine(self, remote: Remote) -> tuple[Engine | None, str]:
        """engine.json, where it can be read (else the checks were told to skip it), and the engine's version."""
        directory, variant = shell_path(self.config.pio.engine_dir), shell_path(variant_path(self.config))
        program = f"printf %s \"$(readlink -f {directory})\" | sha1sum | cut -d' ' -f1 && cat -- {variant}"
        done = await remote.run(remote.driver.name, program)
        version, _, text = done.stdout.partition("\n")
        try:
            return (read_engine(text), version) if done.exit_status == 0 else (None, "")
        except PioTfError:
            return None, ""

    def _elasticsearch(self, remote: Remote) -> Elasticsearch | None:
        """The source ELASTICSEARCH: the Universal Recommender's, and the guide's for metadata."""
        block = find_elasticsearch(self.config)
        if block is None:
            return None
        try:
            password = self.secrets().reveal(block.password) if block.password else None
        except PioTfError as error:
            self.reporter(Warned(f"Elasticsearch is not asked, for want of its password: {error.what}"))
            return None
        return Elasticsearch(remote, block.nodes, user=block.user, password=password)
