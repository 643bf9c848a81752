"""Terraform, run: python-terraform's class, with its waiting for the whole output replaced by streaming.

What is kept of python-terraform is how it builds arguments (:meth:`generate_cmd_string`). What is not: it logs
commands, reads the state file after each, answers any attribute with a command of that name, re-initialises with
``-reconfigure`` (which loses the state when a backend changes), and destroys with ``-force`` (gone since 1.0).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from python_terraform import IsFlagged
from python_terraform import Terraform as PythonTerraform

from pio_tf.errors import Locked, PioTfError, TerraformError
from pio_tf.events import OutputLine, Step, silent
from pio_tf.infra.advice import next_step
from pio_tf.infra.diagnostics import Diagnostic, diagnostics_in_text, failure
from pio_tf.infra.initialised import Initialised
from pio_tf.infra.terraform_events import EventReader
from pio_tf.infra.terraform_process import Ended, stream
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pio_tf.events import Reporter
    from pio_tf.infra.binary import TerraformBinary

_MEMORY_LIMIT = 256 * 1024 * 1024  # bytes of one command's JSON; a plan of 500 machines has some 20 MB


@dataclass(frozen=True)
class PlanRun:
    """How ``terraform plan`` ended."""

    changes: bool
    """Whether the plan has changes: exit code 2 of ``-detailed-exitcode``."""
    error: PioTfError | None
    """What went wrong. The plan file may be there even so."""
    diagnostics: tuple[Diagnostic, ...] = ()


def _as_it_is() -> AbstractContextManager[Mapping[str, object]]:
    return nullcontext({})


class Terraform(PythonTerraform):  # type: ignore[misc]
    """Terraform in one stack directory.

    Args:
        binary: what to run.
        directory: the stack.
        environ: Terraform's whole environment (:func:`pio_tf.infra.environment.terraform_environ`).
        reporter: told of resources, warnings and output.
        lock_timeout: how long to wait for a state that somebody else has locked, seconds.
        initialising: around `terraform init`: gives its options, and sees to the state.
        advise: the next step for an error's text, where it is a known one.
    """

    def __init__(
        self,
        binary: TerraformBinary,
        directory: Path,
        *,
        environ: Mapping[str, str],
        reporter: Reporter = silent,
        lock_timeout: float = 10.0,
        initialising: Callable[[], AbstractContextManager[Mapping[str, object]]] = _as_it_is,
        advise: Callable[[str], str | None] = next_step,
    ) -> None:
        super().__init__(working_dir=str(directory), terraform_bin_path=str(binary.path))
        self.binary = binary
        self.directory = directory
        self._environ = dict(environ)
        self._reporter = reporter
        self._lock_timeout = f"{lock_timeout:g}s"
        self._initialising = initialising
        self._advise = advise

    def __getattr__(self, item: str) -> Any:  # noqa: ANN401 - python-terraform would run `terraform <item>`
        raise AttributeError(f"{type(self).__name__} has no attribute {item!r}")

    def read_state_file(self, file_path: str | None = None) -> None:
        """Does nothing: outputs come from ``output``, and a state may be elsewhere, large, and secret."""

    def generate_cmd_string(self, cmd: str, *args: str, **kwargs: object) -> list[str]:
        """python-terraform's arguments, behind our binary."""
        built: list[str] = super().generate_cmd_string(cmd, *args, **kwargs)
        return [*self.binary.command, *built[1:]]

    def cmd(self, cmd: str, *args: str, **kwargs: object) -> tuple[int, str, str]:
        """Run any command to its end: exit code, output and the end of its errors. Options as in python-terraform."""
        lines: list[str] = []
        size = 0

        def keep(line: str) -> None:
            nonlocal size
            size += len(line)
            if size > _MEMORY_LIMIT:
                raise TerraformError(
                    f"`terraform {cmd}` wrote more than {_MEMORY_LIMIT >> 20} MiB",
                    next_step=f"look at what it says: terraform -chdir={self.directory} {cmd}",
                )
            lines.append(line)

        ended = self._run(self.generate_cmd_string(cmd, *args, **kwargs), keep)
        return ended.exit_code, "\n".join(lines), ended.errors

    def init(self) -> bool:
        """Initialise the stack, if anything has changed that needs it. Returns whether it was needed.

        Raises:
            TerraformError: a provider could not be fetched, the backend has changed, …
            PioTfError: what ``initialising`` raises.
        """
        initialised = Initialised(self.directory, binary=self.binary, environ=self._environ)
        if initialised.holds():
            return False
        self._reporter(Step("Initialising Terraform"))
        with self._initialising() as more:
            options = {"input": False, "no_color": IsFlagged, "lock_timeout": self._lock_timeout, **more}
            code, output, errors = self.cmd("init", **options)
            if code != 0:
                self._report_output(output)
                raise self._failure("terraform init", diagnostics_in_text(f"{output}\n{errors}"), code, errors)
        initialised.remember()
        return True

    def plan(self, *, out: Path, destroy: bool = False, refresh_only: bool = False, parallelism: int = 10) -> PlanRun:
        """Plan into a file. An error does not raise: with ``prevent_destroy`` there is a plan file all the same.

        Args:
            out: the plan file.
            destroy: plan to destroy everything.
            refresh_only: plan nothing but to write down what has changed in AWS.
            parallelism: resources at once.
        """
        options: dict[str, object] = {
            "json": IsFlagged,
            "input": False,
            "detailed_exitcode": IsFlagged,
            "lock_timeout": self._lock_timeout,
            "parallelism": parallelism,
            "out": str(out.absolute()),
        }
        if destroy:
            options["destroy"] = IsFlagged
        if refresh_only:
            options["refresh_only"] = IsFlagged
        reader, ended = self._stream("plan", options)
        return PlanRun(
            changes=ended.exit_code == 2,
            error=None if ended.exit_code in (0, 2) else self._failure_of(reader, "terraform plan", ended),
            diagnostics=tuple(reader.diagnostics),
        )

    def apply(self, plan: Path, *, parallelism: int = 10) -> None:
        """Apply a plan file.

        Raises:
            TerraformError: some resource failed; what was made is in the state.
            Locked: somebody else has the state locked.
        """
        options: dict[str, object] = {
            "json": IsFlagged,
            "input": False,
            "lock_timeout": self._lock_timeout,
            "parallelism": parallelism,
        }
        reader, ended = self._stream("apply", options, str(plan.absolute()))
        if ended.exit_code != 0:
            raise self._failure_of(reader, "terraform apply", ended, unfinished=True)

    def show(self, plan: Path) -> dict[str, Any]:
        """A plan file as JSON (https://developer.hashicorp.com/terraform/internals/json-format).

        Raises:
            TerraformError: it is no plan of this stack and Terraform version.
        """
        return self._json("show", str(plan.absolute()))

    def output(self) -> dict[str, Any]:
        """The stack's outputs: name to ``{"value": …, "type": …, "sensitive": …}``.

        Raises:
            TerraformError: the state cannot be read.
        """
        return self._json("output")

    def state_mark(self) -> tuple[str, int]:
        """Lineage and serial of the state, wherever it is kept; empty and 0 where there is none yet.

        Raises:
            TerraformError: it cannot be read.
        """
        state = self._pulled()
        return (str(state["lineage"]), int(state["serial"])) if state else ("", 0)

    def _pulled(self) -> dict[str, Any]:
        """The state, as it is kept; empty where there is none."""
        code, output, errors = self.cmd("state pull")
        if code != 0:
            raise self._failure("terraform state pull", diagnostics_in_text(f"{output}\n{errors}"), code, errors)
        if not output.strip():
            return {}
        try:
            state: dict[str, Any] = parse_json(output)
            _ = str(state["lineage"]), int(state["serial"])
        except (ValueError, KeyError, TypeError) as error:
            raise TerraformError(
                "`terraform state pull` did not answer with a state",
                cause=str(error),
                next_step=f"look at what it says: terraform -chdir={self.directory} state pull",
            ) from error
        return state

    def untaint(self, address: str) -> None:
        """Tell Terraform that a resource is good, though its creation was not seen to its end.

        Raises:
            TerraformError: there is no such resource.
            Locked: somebody else has the state locked.
        """
        code, output, errors = self.cmd("untaint", address, lock_timeout=self._lock_timeout, no_color=IsFlagged)
        if code != 0:
            raise self._failure("terraform untaint", diagnostics_in_text(f"{output}\n{errors}"), code, errors)

    def push_state(self, path: Path) -> None:
        """Write a state to where the stack's is kept, if it is a newer one of the same lineage.

        Raises:
            TerraformError: it is not.
            Locked: somebody else has the state locked.
        """
        code, output, errors = self.cmd("state push", str(path.absolute()), lock_timeout=self._lock_timeout)
        if code != 0:
            raise self._failure("terraform state push", diagnostics_in_text(f"{output}\n{errors}"), code, errors)

    def adopt(self, address: str, instance_id: str) -> None:
        """Take a resource that exists into the state (`terraform import`).

        Raises:
            TerraformError: there is no such thing, or the state has another one there.
            Locked: somebody else has the state locked.
        """
        code, output, errors = self.cmd(
            "import", address, instance_id, input=False, lock_timeout=self._lock_timeout, no_color=IsFlagged
        )
        if code != 0:
            raise self._failure("terraform import", diagnostics_in_text(f"{output}\n{errors}"), code, errors)

    def ids(self, kind: str) -> frozenset[str]:
        """Ids of the resources of a type that the state has.

        Raises:
            TerraformError: it cannot be read.
        """
        state = self._pulled()
        return frozenset(
            str(instance.get("attributes", {}).get("id"))
            for resource in state.get("resources", [])
            if resource.get("type") == kind and resource.get("mode") == "managed"
            for instance in resource.get("instances", [])
        )

    def _json(self, command: str, *args: str) -> dict[str, Any]:
        code, output, errors = self.cmd(command, *args, json=IsFlagged, no_color=IsFlagged)
        if code != 0:
            raise self._failure(f"terraform {command}", diagnostics_in_text(f"{output}\n{errors}"), code, errors)
        try:
            value = parse_json(output)
        except ValueError as error:
            raise TerraformError(
                f"`terraform {command} -json` did not answer with JSON",
                cause=f"{error}: {output[:200]}",
                next_step=f"look at what it says: terraform -chdir={self.directory} {command} -json",
            ) from error
        if not isinstance(value, dict):
            raise TerraformError(
                f"`terraform {command} -json` answered with something else than an object",
                cause=f"it begins with {output[:200]}",
                next_step=f"look at what it says: terraform -chdir={self.directory} {command} -json",
            )
        return value

    def _stream(self, command: str, options: Mapping[str, object], *args: str) -> tuple[EventReader, Ended]:
        reader = EventReader(self._reporter)
        return reader, self._run(self.generate_cmd_string(command, *args, **options), reader.read)

    def _run(self, command: Sequence[str], on_line: Callable[[str], None]) -> Ended:
        try:
            return stream(
                command,
                cwd=self.directory,
                environ=self._environ,
                on_line=on_line,
                on_interrupt=lambda: self._reporter(
                    Step("Interrupted: waiting for Terraform to finish what is under way and to write its state")
                ),
            )
        except FileNotFoundError as error:
            raise TerraformError(
                f"cannot run {command[0]} in {self.directory}",
                cause=str(error),
                next_step="run `pio-tf generate`, and check terraform.binary",
            ) from error

    def _failure_of(
        self, reader: EventReader, doing: str, ended: Ended, *, unfinished: bool = False
    ) -> TerraformError | Locked:
        # Errors before Terraform's streaming begins (a wrong option, a missing provider) are plain text.
        plain = "\n".join([*reader.other_lines, ended.errors])
        found = [item for item in reader.diagnostics if item.severity == "error"] or diagnostics_in_text(plain)
        return self._failure(doing, found, ended.exit_code, plain, unfinished=unfinished)

    def _failure(
        self, doing: str, diagnostics: Sequence[Diagnostic], code: int, plain: str, *, unfinished: bool = False
    ) -> TerraformError | Locked:
        if not any(item.severity == "error" for item in diagnostics) and plain.strip():
            diagnostics = [Diagnostic(severity="error", summary=" ".join(plain.split())[-2000:])]
        return failure(
            doing,
            diagnostics,
            exit_code=code,
            directory=str(self.directory),
            unfinished=unfinished,
            advise=self._advise,
        )

    def _report_output(self, output: str) -> None:
        for line in output.splitlines()[-20:]:
            self._reporter(OutputLine(line, source="terraform"))
