"""One SSH connection to a cluster's driver, to machines that ought to be up or that are waited for."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import Reporter, Step, silent
from pio_tf.machines.console import host_keys_from_console
from pio_tf.remote.retry import Patience
from pio_tf.remote.ssh import connect_cluster
from pio_tf.remote.target import ssh_targets
from pio_tf.training.diagnosis import diagnose
from pio_tf.training.readiness import ready_cluster
from pio_tf.training.runs.archive import Archive
from pio_tf.training.runs.lock import hold_lock
from pio_tf.training.runs.record import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.ssh import Remote
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.deadline import DeadlineWatch
    from pio_tf.training.runs.bucket import RunBucket
    from pio_tf.training.runs.lock import RunLock
    from pio_tf.training.runs.upload import Upload

QUICK = Patience(timeout=30.0)
"""For machines that ought to be up: they may be in the middle of a boot, but are not waited for long."""


@dataclass
class Connecting:
    """The machines of one cluster, and what reaches them.

    Args:
        machines: those that run; the driver among them.
        ec2: asked for host keys on the machines' consoles, and whether the driver's power is on.
        secrets: gives the configuration's passwords, where they are needed: AWS may have to be asked for them.
        upload_to: where logs and records of ended runs go to, besides this computer, and besides what each run says.
        upload: S3 as it is needed, for an address.
        shared: where every client finds the runs, if the state is in S3.
        deadline: when AWS stops the machines; None: nobody is to look.
    """

    config: Config
    machines: Sequence[Machine]
    ec2: EC2Client
    secrets: Callable[[], Secrets]
    upload: Callable[[str], Upload]
    upload_to: str = ""
    shared: RunBucket | None = None
    reporter: Reporter = silent
    deadline: DeadlineWatch | None = None
    client: Client = field(default_factory=Client.here)

    @property
    def archive(self) -> Archive:
        """This computer's copies."""
        return Archive.of(self.config)

    def _connected(self, *, patience: Patience = QUICK) -> AbstractAsyncContextManager[Remote]:
        return connect_cluster(
            self.config, self._targets, reporter=self.reporter, patience=patience, console_keys=self._console_keys
        )

    @contextlib.asynccontextmanager
    async def _ready(self) -> AsyncIterator[Remote]:
        self.reporter(Step("Waiting for SSH and Spark"))
        async with contextlib.AsyncExitStack() as stack:
            waiting = ready_cluster(self.config, self._targets, reporter=self.reporter, console_keys=self._console_keys)
            try:
                remote, _ = await stack.enter_async_context(waiting)
            except (NotReady, RemoteError) as error:
                await asyncio.to_thread(diagnose, error, self.ec2, self.machines)
                raise
            yield remote

    def _lock(self, remote: Remote, *, doing: str, run: str = "") -> AbstractAsyncContextManager[RunLock]:
        return hold_lock(remote, self.client, doing=doing, run=run)

    def _console_keys(self, instance_id: str) -> tuple[str, ...]:
        return host_keys_from_console(self.ec2, [instance_id])[instance_id]

    @property
    def _targets(self) -> tuple[SshTarget, ...]:
        return ssh_targets(self.config, self.machines)
