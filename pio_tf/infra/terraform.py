"""Terraform's commands in one stack directory, with progress as events and failures as errors of pio-tf.

python-terraform builds the arguments (``generate_cmd_string``) and nothing else. Its own ``cmd`` waits for the whole
output and reads the state file after each command, and its ``init`` always reconfigures, which loses the state when a
backend changes.

Terraform runs as a child process. pio-tf reads its output line by line, and never leaves it behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct
from python_terraform import IsFlagged
from python_terraform import Terraform as PythonTerraform

from pio_tf.errors import Locked, PioTfError, TerraformError
from pio_tf.events import OutputLine, Step, silent
from pio_tf.infra.terraform_messages import Diagnostic, EventReader, diagnostics_in_text, failure
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pio_tf.events import Reporter
    from pio_tf.infra.binary import TerraformBinary

_POLL_SECONDS = 0.05
_BLOCK = 1 << 16
_TAIL = 16 * 1024  # bytes of standard error that are returned


_MEMORY_LIMIT = 256 * 1024 * 1024  # bytes of one command's output; a plan of 500 machines has some 20 MB


class Ended(Struct, frozen=True):
    """A child that has ended.

    Args:
        exit_code: as in a shell: 128 + the signal's number if a signal ended it.
        errors: the end of its standard error.
    """

    exit_code: int
    errors: str


def stream(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
    on_interrupt: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command to its end, and pass each line of its standard output to ``on_line`` as soon as it is written.

    The child has a session of its own, so a terminal's Ctrl-C reaches this process only, which passes it on. With one
    SIGINT Terraform finishes its running operations, saves its state and releases its lock; with a second one it stops
    at once (it would count the terminal's signal and ours as two). A third Ctrl-C kills it. Any other exception here
    counts as one SIGINT. The exception is raised once the child has ended.

    The output goes through a file instead of a pipe: if this process is killed, Terraform still works to its end. A
    broken pipe would end it before it has saved its state.

    Files that it makes are private to this user: state and plan files hold secrets.

    Args:
        environ: the child's whole environment.
        on_line: called with each line, without the line end.
        on_interrupt: called once the user's first interruption is passed on.
        meanwhile: called as soon as the child runs. Its lines are read afterwards.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            umask=0o077,
        )
        lines = _Lines(output, on_line)
        try:
            meanwhile()
            while process.poll() is None:
                if not lines.read():
                    time.sleep(_POLL_SECONDS)
        except BaseException as error:
            _interrupt(process, on_interrupt if isinstance(error, KeyboardInterrupt) else lambda: None)
            raise
        lines.read_rest()
        code = process.returncode
        return Ended(exit_code=128 - code if code < 0 else code, errors=_tail(errors))


class _Lines:
    """The lines of a growing file, read at a position of its own: the child writes through the same open file."""

    def __init__(self, file: IO[bytes], on_line: Callable[[str], None]) -> None:
        self._descriptor = file.fileno()
        self._position = 0
        self._rest = b""
        self._on_line = on_line

    def read(self) -> bool:
        """Pass on complete lines. Return whether there was anything new."""
        block = os.pread(self._descriptor, _BLOCK, self._position)
        self._position += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
        return bool(block)

    def read_rest(self) -> None:
        """Pass on all that is left."""
        while self.read():
            pass
        if self._rest:
            self._on_line(self._rest.decode("utf-8", "replace"))


def _interrupt(process: subprocess.Popen[bytes], on_interrupt: Callable[[], None]) -> None:
    """Stop the child and wait until it has ended: SIGINT first, more if this process is interrupted again."""
    attempts = [signal.SIGINT, signal.SIGINT, signal.SIGKILL]
    for attempt in attempts:
        try:
            process.send_signal(attempt)
            if attempt is attempts[0]:
                on_interrupt()
            process.wait()
        except BaseException:  # noqa: BLE001, S112 - the caller raises the first exception
            continue
        return
    process.wait()


def _tail(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")


class PlanRun(Struct, frozen=True):
    """A finished ``terraform plan``.

    Args:
        changes: whether the plan has changes: exit code 2 of ``-detailed-exitcode``.
        error: what failed. There may be a plan file all the same.
    """

    changes: bool
    error: PioTfError | None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(eq=False)
class Terraform:
    """Terraform in one stack directory.

    Every command raises TerraformError if it fails, and Locked if another client holds the state's lock.
    """

    binary: TerraformBinary
    directory: Path
    environ: Mapping[str, str] = field(kw_only=True)
    """Terraform's whole environment (:func:`pio_tf.infra.binary.terraform_environ`)."""
    reporter: Reporter = field(default=silent, kw_only=True)
    """Gets resources, warnings and output."""
    lock_timeout: float = field(default=10.0, kw_only=True)
    """Seconds to wait for a state that another client has locked."""
    parallelism: int = field(default=10, kw_only=True)
    """Number of resources at once."""
    advise: Callable[[str], str | None] | None = field(default=None, kw_only=True)
    """See :func:`pio_tf.infra.terraform_messages.failure`."""

    @property
    def by_hand(self) -> str:
        """The beginning of a command line for users: ``tofu -chdir=DIRECTORY``."""
        return self.binary.by_hand(self.directory)

    @property
    def _lock(self) -> dict[str, str]:
        return {"lock_timeout": f"{self.lock_timeout:g}s"}

    def command_line(self, command: str, *args: str, **options: object) -> list[str]:
        """Return the program and its arguments; options as in python-terraform."""
        # python-terraform reads the state in its working directory at once; in this one there is none.
        build = PythonTerraform(working_dir=os.devnull).generate_cmd_string
        built: list[str] = build(command, *args, **options)
        return [*self.binary.command, *built[1:]]

    def init(self, *, reconfigure: bool) -> None:
        """Run `terraform init`.

        Args:
            reconfigure: forget the backend that the directory was initialised with, and leave its state there.
        """
        options = {
            "input": False,
            "no_color": IsFlagged,
            **self._lock,
            "reconfigure": IsFlagged if reconfigure else None,
        }
        ended, output = self._collect("init", **options)
        if ended.exit_code != 0:
            for line in output.splitlines()[-20:]:
                self.reporter(OutputLine(line, source="terraform"))
            raise self._failure("init", ended, diagnostics_in_text(f"{output}\n{ended.errors}"), ended.errors)

    def lock_providers(self, platforms: Sequence[str]) -> None:
        """Run `terraform providers lock`, which adds the providers' checksums for these platforms to the lock file.

        It asks the providers' own registry, whatever mirror the CLI configuration names, and keeps a locked version.
        """
        self._run("get", no_color=IsFlagged)  # the modules are a part of the configuration; init would need the state
        self._run("providers lock", platform=list(platforms), no_color=IsFlagged)

    def plan(
        self,
        *,
        out: Path,
        destroy: bool = False,
        refresh_only: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> PlanRun:
        """Run `terraform plan`. A failure is in the result: with ``prevent_destroy`` there is still a plan file.

        Args:
            meanwhile: called while Terraform runs. If it raises an error, Terraform is interrupted.
        """
        options = {
            "json": IsFlagged,
            "input": False,
            "detailed_exitcode": IsFlagged,
            **self._lock,
            "parallelism": self.parallelism,
            "out": str(out.absolute()),
            "destroy": IsFlagged if destroy else None,
            "refresh_only": IsFlagged if refresh_only else None,
        }
        reader, ended = self._stream("plan", meanwhile=meanwhile, **options)
        return PlanRun(
            changes=ended.exit_code == 2,
            error=None if ended.exit_code in (0, 2) else self._streamed_failure("plan", reader, ended),
            diagnostics=tuple(reader.diagnostics),
        )

    def apply(self, plan: Path) -> None:
        """Apply a plan file. After a failure the state has what was made until then."""
        options = {"json": IsFlagged, "input": False, **self._lock, "parallelism": self.parallelism}
        reader, ended = self._stream("apply", str(plan.absolute()), **options)
        if ended.exit_code != 0:
            raise self._streamed_failure("apply", reader, ended, unfinished=True)

    def show(self, plan: Path) -> dict[str, Any]:
        """Return a plan file as JSON (https://developer.hashicorp.com/terraform/internals/json-format)."""
        return self._json("show", str(plan.absolute()))

    def output(self) -> dict[str, Any]:
        """Return the stack's outputs: name to ``{"value": …, "type": …, "sensitive": …}``."""
        return self._json("output")

    def pull_state(self) -> dict[str, Any]:
        """Return the state from where it is kept; empty if there is none."""
        output = self.pull_state_text()
        if not output.strip():
            return {}
        try:
            state: dict[str, Any] = parse_json(output)
            _ = str(state["lineage"]), int(state["serial"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._unexpected("state pull", "a state", str(error)) from error
        return state

    def pull_state_text(self) -> str:
        """Return the text of the state, decrypted; empty if there is none."""
        return self._run("state pull")

    def state_version(self) -> tuple[str, int]:
        """Return lineage and serial of the state; empty and 0 if there is none."""
        state = self.pull_state()
        return (str(state["lineage"]), int(state["serial"])) if state else ("", 0)

    def resource_ids(self, kind: str) -> frozenset[str]:
        """Return the ids of all resources of a type in the state."""
        return frozenset(
            str(instance.get("attributes", {}).get("id"))
            for resource in self.pull_state().get("resources", [])
            if resource.get("type") == kind and resource.get("mode") == "managed"
            for instance in resource.get("instances", [])
        )

    def addresses(self, kind: str) -> tuple[str, ...]:
        """Return the addresses of all resources of a type in the state that have no index of their own."""
        return tuple(
            ".".join(filter(None, (resource.get("module"), kind, resource["name"])))
            for resource in self.pull_state().get("resources", [])
            if resource.get("type") == kind and resource.get("mode") == "managed"
        )

    def push_state(self, path: Path) -> None:
        """Write a state to where the stack's is kept. Terraform refuses one that is older, or of another lineage."""
        self._run("state push", str(path.absolute()), **self._lock)

    def untaint(self, address: str) -> None:
        """Mark a tainted resource as good."""
        self._run("untaint", address, **self._lock, no_color=IsFlagged)

    def import_resource(self, address: str, resource_id: str) -> None:
        """Take an existing resource into the state."""
        self._run("import", address, resource_id, input=False, **self._lock, no_color=IsFlagged)

    def forget(self, addresses: Sequence[str]) -> None:
        """Take resources out of the state. They stay as they are."""
        self._run("state rm", *addresses, **self._lock)

    def _run(self, command: str, *args: str, **options: object) -> str:
        ended, output = self._collect(command, *args, **options)
        if ended.exit_code != 0:
            # The fallback is without the output, which may hold secrets.
            raise self._failure(command, ended, diagnostics_in_text(f"{output}\n{ended.errors}"), ended.errors)
        return output

    def _json(self, command: str, *args: str) -> dict[str, Any]:
        output = self._run(command, *args, json=IsFlagged, no_color=IsFlagged)
        try:
            value = parse_json(output)
        except ValueError as error:
            raise self._unexpected(f"{command} -json", "JSON", f"{error}: {output[:200]}") from error
        if not isinstance(value, dict):
            raise self._unexpected(f"{command} -json", "an object", f"it begins with {output[:200]}")
        return value

    def _unexpected(self, command: str, wanted: str, cause: str) -> TerraformError:
        return TerraformError(
            f"`{self.binary.product} {command}` did not print {wanted}", cause=cause, next_step=self._look_at(command)
        )

    def _look_at(self, command: str) -> str:
        return f"see what it prints: {self.by_hand} {command}"

    def _collect(self, command: str, *args: str, **options: object) -> tuple[Ended, str]:
        lines: list[str] = []
        size = 0

        def collect(line: str) -> None:
            nonlocal size
            size += len(line)
            if size > _MEMORY_LIMIT:
                raise TerraformError(
                    f"`{self.binary.product} {command}` printed more than {_MEMORY_LIMIT >> 20} MiB",
                    next_step=self._look_at(command),
                )
            lines.append(line)

        ended = self._execute(self.command_line(command, *args, **options), collect)
        return ended, "\n".join(lines)

    def _stream(
        self, command: str, *args: str, meanwhile: Callable[[], None] = lambda: None, **options: object
    ) -> tuple[EventReader, Ended]:
        reader = EventReader(self.reporter)
        return reader, self._execute(self.command_line(command, *args, **options), reader.read, meanwhile)

    def _execute(
        self,
        command_line: Sequence[str],
        on_line: Callable[[str], None],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Ended:
        try:
            return stream(
                command_line,
                cwd=self.directory,
                environ=self.environ,
                on_line=on_line,
                on_interrupt=lambda: self.reporter(
                    Step("Interrupted: waiting until Terraform has finished its running operations and saved its state")
                ),
                meanwhile=meanwhile,
            )
        except FileNotFoundError as error:
            raise TerraformError(
                f"cannot run {command_line[0]} in {self.directory}",
                cause=str(error),
                next_step="run `pio-tf generate`, and check terraform.binary",
            ) from error

    def _streamed_failure(
        self, command: str, reader: EventReader, ended: Ended, *, unfinished: bool = False
    ) -> TerraformError | Locked:
        # Before it streams, Terraform prints errors as plain text: a wrong option, a missing provider.
        plain = "\n".join([*reader.other_lines, ended.errors])
        found = [item for item in reader.diagnostics if item.severity == "error"] or diagnostics_in_text(plain)
        return self._failure(command, ended, found, plain, unfinished=unfinished)

    def _failure(
        self, command: str, ended: Ended, found: list[Diagnostic], plain: str, *, unfinished: bool = False
    ) -> TerraformError | Locked:
        if not any(item.severity == "error" for item in found) and plain.strip():
            found = [Diagnostic(severity="error", summary=" ".join(plain.split())[-2000:])]
        return failure(
            f"{self.binary.product} {command}",
            found,
            exit_code=ended.exit_code,
            by_hand=self.by_hand,
            unfinished=unfinished,
            advise=self.advise,
        )
