"""What every operation on a cluster starts from: its configuration, its clients, its outputs and its machines."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.aws.session import Aws, aws_errors
from pio_tf.config.load import load_config
from pio_tf.config.sizing import Sizing, size_cluster
from pio_tf.errors import AwsError, NotReady, PioTfError
from pio_tf.events import Reporter, Warned, silent
from pio_tf.infra.deployment import Deployment
from pio_tf.machines.instance_types import describe_instance_types
from pio_tf.machines.inventory import find_machines
from pio_tf.machines.power import stop_machines
from pio_tf.model import refuse_another_region

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client
    from typing_extensions import Self

    from pio_tf.config.schema import Config
    from pio_tf.events import Event
    from pio_tf.model import Machine, Outputs
    from pio_tf.pio.secrets import Secrets
    from pio_tf.training.driver_session import SessionOpener


class Basis:
    """A cluster as pio-tf.hcl, Terraform and EC2 describe it.

    Args:
        config: what pio-tf.hcl says.
        reporter: gets progress as events (:mod:`pio_tf.events`).
        environ: environment for Terraform; default: this process's.
        aws: makes the clients; default: as the configuration says.
        open_session: connects to the driver; default: :func:`~pio_tf.training.driver_session.open_session`, over SSH.
        clock: seconds, monotonic, that waiting for AWS is counted with.
        sleep: waits so many seconds meanwhile.
        now: the time of day that deadlines are counted with.
    """

    _seen: tuple[Machine, ...] = ()
    """The machines as EC2 showed them last, for errors."""

    def __init__(
        self,
        config: Config,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
        aws: Aws | None = None,
        open_session: SessionOpener | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc),
    ) -> None:
        self.config = config
        self._report = reporter
        self._environ = dict(os.environ if environ is None else environ)
        self._given_aws = aws
        self._open_session = open_session
        self._clock = clock
        self._sleep = sleep
        self._now = now

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """The cluster of a pio-tf.hcl; default: ``$PIO_TF_CONFIG``, else ``pio-tf.hcl`` here.

        Raises:
            ConfigError: the file is missing or wrong; every mistake with its line.
        """
        return cls(load_config(path, environ=environ), reporter=reporter, environ=environ)

    @cached_property
    def _deployment(self) -> Deployment:
        return Deployment(self.config, reporter=self._heard, environ=self._environ)

    def _heard(self, event: Event) -> None:
        """What Terraform does."""
        self._report(event)

    @cached_property
    def _aws(self) -> Aws:
        with aws_errors():
            return self._given_aws or Aws(self.config)

    @cached_property
    def _ec2(self) -> EC2Client:
        with aws_errors():
            return self._aws.client("ec2")

    @cached_property
    def _secrets(self) -> Secrets:
        from pio_tf.pio.secrets import resolve_secrets

        return resolve_secrets(self.config, self._aws.client)

    def outputs(self) -> Outputs:
        """Terraform's outputs.

        Raises:
            NotReady: the cluster has not been created.
        """
        outputs = self._deployment.outputs()
        if outputs is None:
            raise NotReady(
                f"{self.config.cluster.name} has not been created",
                cause=f"the stack in {self.config.stack_dir} has no outputs",
                next_step="pio-tf up",
            )
        return outputs

    def sizing(self) -> Sizing:
        """Heaps and cores of driver and executors. Reports what does not fit as warnings."""
        config = self.config
        with aws_errors():
            specs = describe_instance_types(self._ec2, config)
        sizing = size_cluster(config, specs)
        for warning in sizing.warnings:
            self._report(Warned(warning))
        return sizing

    def _outputs_if_any(self) -> Outputs | None:
        """Terraform's outputs, where they can be had: machines must stop even where Terraform or its state fails."""
        try:
            outputs = self._deployment.outputs()
        except PioTfError as error:
            self._report(Warned(f"going by the machines' tags alone: {short(error)}"))
            return None
        if outputs is not None:
            refuse_another_region(self.config, outputs.region)  # rather than find no machines, and call them stopped
        return outputs

    def _machines(self, outputs: Outputs | None, *, strict: bool = True) -> list[Machine]:
        """The machines as EC2 shows them; without outputs, whatever carries the cluster's tag."""
        found = find_machines(self._ec2, cluster=self.config.cluster.name, outputs=outputs, strict=strict)
        self._seen = tuple(found)
        return found

    def _stop(self, machines: Sequence[Machine]) -> list[Machine]:
        """Stop these machines, and wait until they are. Raises as :func:`~pio_tf.machines.power.stop_machines` does."""
        cluster = self.config.cluster
        stopped = stop_machines(
            self._ec2,
            machines,
            timeout=cluster.stop_timeout,
            force_after=cluster.force_stop_after,
            reporter=self._report,
            clock=self._clock,
            sleep=self._sleep,
        )
        now = {machine.instance_id: machine for machine in stopped}
        self._seen = tuple(now.get(machine.instance_id, machine) for machine in self._seen)
        return stopped

    def _still_awake(self) -> list[Machine] | None:
        """After Ctrl-C, or an error: which machines are not off, by AWS's word now, or else by its last one.

        None: it has not said anything, so that nobody knows.
        """
        try:
            self._machines(None, strict=False)
        except (AwsError, KeyboardInterrupt):
            if not self._seen:
                return None
        return [machine for machine in self._seen if not machine.is_off]

    def _own(self, outputs: Outputs) -> list[Machine]:
        """The machines of Terraform's outputs. Others with the cluster's tag are left alone, and named."""
        return self._ours(self._machines(outputs))

    def _ours(self, machines: Sequence[Machine]) -> list[Machine]:
        """Of all with the cluster's tag, those of Terraform's outputs. The others are named."""
        strays = [machine for machine in machines if not machine.in_outputs]
        if strays:
            self._report(
                Warned(
                    f"{names(strays)}: tagged for {self.config.cluster.name}, but not in Terraform's state (an "
                    "interrupted creation?). Left alone here; `pio-tf down` stops it"
                )
            )
        return [machine for machine in machines if machine.in_outputs]


def staying(machines: Sequence[Machine]) -> list[Machine]:
    """Without those that are on their way out: one of them would fail a deadline's whole StopInstances call."""
    return [machine for machine in machines if not machine.is_terminated]


def short(error: PioTfError) -> str:
    """An error in one line, without its next step."""
    return f"{error.what} ({error.cause})" if error.cause else error.what


def names(machines: Sequence[Machine]) -> str:
    """``worker-1 (i-0123, running), …``."""
    return ", ".join(f"{machine.name} ({machine.instance_id}, {machine.state})" for machine in machines)
