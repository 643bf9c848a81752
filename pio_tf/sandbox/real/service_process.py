"""The process of a real service: started, stopped, or stopped in its tracks (hung)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from pio_tf.errors import SandboxError
from pio_tf.sandbox.processes import die_with_parent
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pio_tf.sandbox.layout import ServiceState
    from pio_tf.sandbox.real.service_files import ServiceSpec

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 15.0
"""HBase writes its memory to files first."""
_LOG_LINES = 8


class ServiceProcess:
    """One service.

    Args:
        spec: how it runs.
        environment: the whole environment of its process, less its own variables.
        is_ready: whether it serves; called in a thread, also while it cannot answer.
        timeout: seconds until it must serve.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        *,
        environment: Mapping[str, str],
        is_ready: Callable[[], bool],
        timeout: float = 120.0,
    ) -> None:
        self.spec = spec
        self._environment = {**environment, **spec.variables}
        self._is_ready = is_ready
        self._timeout = timeout
        self._process: asyncio.subprocess.Process | None = None
        self._hung = False

    @property
    def pid(self) -> int | None:
        """The number of its process; None if it has none."""
        return self._process.pid if self._runs() and self._process else None

    @property
    def state(self) -> ServiceState:
        """Its state now."""
        if self._process is None:
            return "stopped"
        if self._process.returncode is not None:
            return "failed"
        return "hung" if self._hung else "running"

    async def start(self) -> None:
        """Start its process, or let it continue, and wait until it serves.

        Raises:
            SandboxError: the process ended, or did not serve in time.
        """
        if self._hung:
            self._signal(signal.SIGCONT)
            self._hung = False
        elif not self._runs():
            self.spec.ready.unlink(missing_ok=True)
            if self.spec.format and not (self.spec.directory / "data").exists():
                await self._format()
            self._process = await self._spawn(self.spec.command)
        deadline = asyncio.get_running_loop().time() + self._timeout
        while not await asyncio.to_thread(self._is_ready):
            if not self._runs():
                code = self._process.returncode if self._process else None
                raise self._error(f"its process ended with exit code {code}")
            if asyncio.get_running_loop().time() > deadline:
                raise self._error(f"it did not answer within {self._timeout:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, *, grace: float = _GRACE_SECONDS) -> None:
        """End its process: ask with SIGTERM, and kill it after ``grace`` seconds. Its data stays."""
        process, self._hung = self._process, False
        if process is not None and self._runs():
            if grace:
                self._signal(signal.SIGTERM)
                self._signal(signal.SIGCONT)  # one that hangs notices nothing else
            try:
                await wait_for(process.wait(), grace)
            except asyncio.TimeoutError:
                self._signal(signal.SIGKILL)
                await process.wait()
        self._process = None

    async def hang(self) -> None:
        """Suspend its process, which keeps its ports: connections succeed, and nothing answers.

        Raises:
            SandboxError: it does not run.
        """
        if not self._runs():
            raise SandboxError(
                f"{self.spec.name} does not run, so it cannot hang",
                next_step=f"run `pio-tf sandbox service start {self.spec.name}` first",
            )
        self._signal(signal.SIGSTOP)
        self._hung = True

    def _runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None  # noqa: S101 - the callers have checked it
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _format(self) -> None:
        process = await self._spawn(self.spec.format)
        if await process.wait() != 0:
            shutil.rmtree(self.spec.directory / "data", ignore_errors=True)
            raise self._error("its storage could not be formatted")

    async def _spawn(self, command: tuple[str, ...]) -> asyncio.subprocess.Process:
        with self.spec.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=self.spec.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log.fileno(),
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _error(self, cause: str) -> SandboxError:
        log = self.spec.log.read_text(encoding="utf-8", errors="replace") if self.spec.log.exists() else ""
        end = "\n".join(log.splitlines()[-_LOG_LINES:])
        return SandboxError(
            f"{self.spec.name} could not start",
            cause=f"{cause}; the end of its log:\n{end}" if end else cause,
            next_step=f"see {self.spec.log}",
        )
