"""A cluster's stack in its directory: written, initialised, with its state in place and whole."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pio_tf.errors import TerraformError
from pio_tf.events import Done, Reporter, Step, silent
from pio_tf.infra.backend.advice import advise
from pio_tf.infra.backend.move import state_in_place
from pio_tf.infra.backend.s3 import require_lockfile, s3_backend
from pio_tf.infra.backend.workspace import refuse_workspace
from pio_tf.infra.backups import ERRORED, StateBackups
from pio_tf.infra.binary import TerraformBinary, find_terraform
from pio_tf.infra.environment import terraform_environ
from pio_tf.infra.foreign_resources import refuse_foreign_resources
from pio_tf.infra.plan import reading_plan
from pio_tf.infra.root_module import write_stack
from pio_tf.infra.terraform import Terraform
from pio_tf.model import refuse_another_region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config

_TERRAFORM_DEFAULT_PARALLELISM = 10
_OTHER_RESOURCES = 8  # network, security group and key pair, beside the machines


class PreparedStack:
    """A stack, and the Terraform that works in its directory.

    Args:
        config: the cluster.
        reporter: told of steps, resources and warnings.
        environ: environment, for PATH and what Terraform inherits; default: this process's.
        lock_timeout: how long to wait for a state that somebody else has locked, seconds; default:
            ``terraform.lock_timeout``.
    """

    def __init__(
        self,
        config: Config,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
        lock_timeout: float | None = None,
    ) -> None:
        self.config = config
        self._reporter = reporter
        self._environ = os.environ if environ is None else environ
        self._lock_timeout = config.terraform.lock_timeout if lock_timeout is None else lock_timeout

    @cached_property
    def terraform(self) -> Terraform:
        """Terraform, in the stack's directory.

        Raises:
            TerraformError: there is none, or it is too old.
        """
        binary = find_terraform(self.config, environ=self._environ)
        backend = s3_backend(self.config)
        if backend is not None:
            require_lockfile(backend, binary)
        return self._with(binary)

    def _with(self, binary: TerraformBinary) -> Terraform:
        refuse_workspace(self.config.stack_dir, self._environ)
        return Terraform(
            binary,
            self.config.stack_dir,
            environ=terraform_environ(self.config, self._environ),
            reporter=self._reporter,
            lock_timeout=self._lock_timeout,
            initialising=partial(state_in_place, self.config, reporter=self._reporter),
            advise=partial(advise, backend=s3_backend(self.config)),
        )

    @property
    def parallelism(self) -> int:
        """Resources at once: as many as there are machines, so that they are all made at the same time."""
        if self.config.terraform.parallelism is not None:
            return self.config.terraform.parallelism
        return max(_TERRAFORM_DEFAULT_PARALLELISM, len(self.config.machine_names) + _OTHER_RESOURCES)

    def generate(self) -> Path:
        """Write the stack. Returns its directory.

        Raises:
            ConfigError: see :func:`pio_tf.infra.root_module.write_stack`.
        """
        return write_stack(self.config)

    def prepare(self) -> None:
        """Write the stack, initialised.

        Raises:
            ConfigError: the stack cannot be written; the cluster was created in another region.
            TerraformError: it cannot be initialised.
        """
        self.generate()
        self._initialise()

    def _initialise(self) -> None:
        """The stack that is written, with its providers and its state."""
        self._check_state()
        self.terraform.init()
        self._bring_back()
        self._refuse_another_region()

    @contextmanager
    def _unprotected(self) -> Iterator[None]:
        """The stack without ``prevent_destroy``, initialised; protected again at the end, whatever happens."""
        try:
            write_stack(self.config, protect=False)
            self._initialise()
            yield
        finally:
            self.generate()

    def _refuse_strangers(self, raw: Mapping[str, Any]) -> None:
        with reading_plan():
            refuse_foreign_resources(raw, cluster=self.config.cluster.name)

    def _refuse_another_region(self) -> None:
        region = self.terraform.output().get("region")
        refuse_another_region(self.config, region.get("value") if isinstance(region, dict) else None)

    @cached_property
    def _backups(self) -> StateBackups:
        return StateBackups(self.config)

    def _check_state(self) -> None:
        """Before Terraform reads a local state: one that was not written to its end is told with the last good one."""
        state = self.config.stack_dir / "terraform.tfstate"
        if self.config.terraform.backend is None and state.is_file():
            self._backups.check(state.read_bytes())

    def _bring_back(self) -> None:
        """The state of an apply that could not write it, if there is one: it knows what that has made.

        Raises:
            TerraformError: it is older than the state that there is, or another cluster's.
        """
        left = self.config.stack_dir / ERRORED
        if not left.is_file():
            return
        self._reporter(Step(f"Bringing back the state that Terraform could not write, from {left}"))
        try:
            self.terraform.push_state(left)
        except TerraformError as error:
            raise TerraformError(
                f"the state in {left} could not be brought back",
                cause=error.cause,
                next_step="it is what Terraform had when it could not write its state. If the state there now is "
                f"newer, remove the file; else terraform -chdir={self.config.stack_dir} state push -force {ERRORED}",
                details={**error.details, "errored_state": str(left)},
            ) from error
        kept = self._backups.put_aside(left)
        self._reporter(Done(f"the state is back; a copy is kept as {kept}"))

    def _close_state_files(self) -> None:
        """Plain Terraform may have made them readable for all."""
        for path in self.config.stack_dir.glob("terraform.tfstate*"):
            path.chmod(0o600)
