"""The directory of a cluster's stack: written, initialised, and with its state in place."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from pio_tf.atomic_write import write_atomically
from pio_tf.ci_job import in_ci
from pio_tf.errors import ConfigError, PioTfError, TerraformError
from pio_tf.events import Done, Step, Warned
from pio_tf.infra.backend.move import move_state, refuse_leaving
from pio_tf.infra.backend.s3 import open_objects, require_lockfile, s3_backend
from pio_tf.infra.backend.state import StateBackups, read_state
from pio_tf.infra.binary import (
    NAMES,
    find_terraform,
    locate_terraform,
    refuse_workspace,
    require_imports,
    terraform_environ,
)
from pio_tf.infra.generated_files import read_manifest
from pio_tf.infra.root_module import write_stack
from pio_tf.infra.terraform import Terraform
from pio_tf.json_text import parse_json
from pio_tf.model import Outputs, refuse_another_region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.infra.backend.state import State
    from pio_tf.infra.binary import Product, TerraformBinary, TerraformCommand

LOCK_FILE: Final = ".terraform.lock.hcl"
"""Terraform's lock file: versions and checksums of its providers."""
PLATFORMS: Final = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
"""Platforms that pio-tf runs on, as Terraform names them."""
ERRORED: Final = "errored.tfstate"
"""Terraform writes this file into the stack if it has changed something and cannot save its state."""
_INIT_MARK = Path(".terraform", "pio-tf-initialised.json")
_TERRAFORM_DEFAULT_PARALLELISM = 10
_OTHER_RESOURCES = 8  # network, security group and key pair, beside the machines
_READ = ("*.tf", "*.tofu", "*.tf.json", "*.tofu.json", "*.tfvars", "*.tfvars.json", "terraform.d", "modules/**/*.t*f*")
"""The files that Terraform and OpenTofu read in the stack; terraform.d may contain providers."""
_NAMING_LINE = re.compile(rb"^\s*(?:module|source|version)\b.*$", re.MULTILINE)


class StackDirectory:
    """The stack of one cluster, and the Terraform that runs in its directory.

    Args:
        reporter: gets steps, resources and warnings.
        environ: for PATH and what Terraform inherits.
        lock_timeout: seconds to wait for a state that another client has locked.
    """

    def __init__(self, config: Config, *, reporter: Reporter, environ: Mapping[str, str], lock_timeout: float) -> None:
        self.config = config
        self.reporter = reporter
        self._environ = environ
        self._lock_timeout = lock_timeout

    @cached_property
    def terraform(self) -> Terraform:
        """Terraform, in the stack's directory.

        Raises:
            TerraformError: there is none, or it is too old.
        """
        binary = find_terraform(self.config, environ=self._environ, reporter=self.reporter, require=self._require)
        return self._terraform(binary)

    @cached_property
    def by_hand(self) -> str:
        """The beginning of a command line of Terraform in the stack, for next steps: ``tofu -chdir=DIRECTORY``."""
        try:
            located = self._located()
        except PioTfError:
            located = None
        return f"{located.name if located else 'terraform'} -chdir={self.config.stack_dir}"

    @cached_property
    def backups(self) -> StateBackups:
        """The backups of a local state."""
        return StateBackups(self.config, by_hand=self.by_hand)

    @property
    def encrypts(self) -> bool:
        """Whether OpenTofu writes the state, with TF_ENCRYPTION, which says how to encrypt it."""
        return self.terraform.binary.product == "tofu" and bool(self.terraform.environ.get("TF_ENCRYPTION"))

    @property
    def parallelism(self) -> int:
        """Number of resources at once: as many as there are machines, so that all of them are made together."""
        if self.config.terraform.parallelism is not None:
            return self.config.terraform.parallelism
        return max(_TERRAFORM_DEFAULT_PARALLELISM, len(self.config.machine_names) + _OTHER_RESOURCES)

    def generate(self) -> Path:
        """Write the stack, with the lock file that is committed beside pio-tf.hcl, if any. Return its directory.

        Raises:
            ConfigError: see :func:`pio_tf.infra.root_module.write_stack`; or this is a CI job, and Terraform would read
                files of others in the directory.
        """
        directory = write_stack(self.config)
        self._refuse_foreign_files(directory)
        committed, here = self.config.path.with_name(LOCK_FILE), directory / LOCK_FILE
        if committed.is_file() and (not here.is_file() or here.read_bytes() != committed.read_bytes()):
            write_atomically(here, committed.read_text(encoding="utf-8"), mode=0o644)
        return directory

    def lock_providers(self) -> Path:
        """Write the lock file beside pio-tf.hcl, with the provider's checksums for all platforms. Return its path.

        A version that it has, or the stack's own, stays.

        Raises:
            ConfigError: the stack cannot be written.
            TerraformError: the registry does not answer, or has no such version.
        """
        directory = self.generate()
        self.reporter(Step(f"Downloading the AWS provider for {', '.join(PLATFORMS)}, for its checksums"))
        self.terraform.lock_providers(PLATFORMS)
        path = self.config.path.with_name(LOCK_FILE)
        write_atomically(path, (directory / LOCK_FILE).read_text(encoding="utf-8"), mode=0o644)
        return path

    def prepare(self) -> None:
        """Write the stack and initialise it.

        Raises:
            ConfigError: the stack cannot be written; the cluster was created in another region.
            TerraformError: it cannot be initialised.
        """
        self.generate()
        self._prepare_state()

    @contextmanager
    def unprotected(self) -> Iterator[None]:
        """Prepare the stack without ``prevent_destroy``; write the protection again at the end."""
        try:
            write_stack(self.config, protect=False)
            self._prepare_state()
            yield
        finally:
            self.generate()

    @property
    def is_initialised(self) -> bool:
        """Whether Terraform needs no `init` here, as far as it is known before the stack is written again."""
        return InitMark(self.terraform).is_current()

    def initialise(self) -> bool:
        """Run `terraform init` if something that it reads has changed. Return whether it was necessary."""
        mark = InitMark(self.terraform)
        if mark.is_current():
            return False
        self.reporter(Step("Initialising Terraform", "seconds; minutes to download the AWS provider"))
        self.terraform.init(reconfigure=move_state(self.config, reporter=self.reporter, by_hand=self.terraform.by_hand))
        mark.write()
        return True

    def outputs(self) -> Outputs | None:
        """Return the outputs of the last apply; None before the first. Reads the state only, not AWS.

        Every command begins here. A local state needs neither a version check nor an init. The outputs of a state in a
        file or in S3 are in sight without Terraform, unless OpenTofu has encrypted them.

        Raises:
            TerraformError: the state cannot be read.
        """
        if self.config.terraform.backend is not None:
            self.generate()
            self.initialise()
            return self.applied_outputs()
        refuse_leaving(self.config, by_hand=self.by_hand)
        state = self.backups.check_state()
        if not (self.config.stack_dir / "terraform.tfstate").is_file():
            return None
        if state is not None and state.outputs is not None:
            refuse_workspace(self.config.stack_dir, self._environ, by_hand=self.by_hand)
            return Outputs.from_terraform(state.outputs)
        located = self._located()
        terraform = self._terraform(located.binary(self._product(located), "")) if located else self.terraform
        return Outputs.from_terraform(terraform.output())

    def applied_outputs(self) -> Outputs | None:
        """Return the outputs of an initialised stack. Terraform reports what is wrong with its state, if anything."""
        state = self._state_if_readable()
        shown = state.outputs if state is not None else None
        return Outputs.from_terraform(self.terraform.output() if shown is None else shown)

    def state(self) -> State | None:
        """Return the identity of a state in the stack or in S3, read without Terraform; None if it is empty."""
        backend = s3_backend(self.config)
        if backend is not None:
            found = open_objects(self.config, backend).read(backend.key)
            return read_state(found.body, name=backend.url) if found else None
        path = self.config.stack_dir / "terraform.tfstate"
        if self.config.terraform.backend is not None or not path.is_file():
            return None
        return read_state(path.read_bytes(), name=str(path))

    @contextmanager
    def changing_state(self) -> Iterator[Terraform]:
        """Yield Terraform to change the state. A local state is saved before, and private afterwards."""
        try:
            with self.backups.named_in_errors():
                yield self.terraform
        finally:
            for path in self.config.stack_dir.glob("terraform.tfstate*"):  # plain Terraform makes them world-readable
                path.chmod(0o600)

    def _refuse_foreign_files(self, directory: Path) -> None:
        """Refuse, in a CI job, what a checkout could add to the stack: Terraform reads whatever has these names."""
        if not in_ci(self._environ):
            return
        written = read_manifest(directory)
        found = {path.relative_to(directory).as_posix() for name in _READ for path in directory.glob(name)}
        if foreign := sorted(found - written):
            raise ConfigError(
                f"{directory} contains files that pio-tf did not write: {', '.join(foreign)}",
                cause="Terraform would read it: with a pull request's file, this CI job would run any program",
                next_step="remove it from the repository",
            )

    def _require(self, binary: TerraformBinary) -> None:
        require_lockfile(s3_backend(self.config), binary)
        require_imports(self.config, binary)

    def _terraform(self, binary: TerraformBinary) -> Terraform:
        refuse_workspace(self.config.stack_dir, self._environ, by_hand=binary.by_hand(self.config.stack_dir))
        backend = s3_backend(self.config)
        return Terraform(
            binary,
            self.config.stack_dir,
            environ=terraform_environ(self.config, self._environ),
            reporter=self.reporter,
            lock_timeout=self._lock_timeout,
            parallelism=self.parallelism,
            advise=backend.advise if backend is not None else None,
        )

    def _located(self) -> TerraformCommand | None:
        last = InitMark.program(self.config.stack_dir)
        return locate_terraform(self.config, environ=self._environ, last=last[0] if last else None)

    def _product(self, located: TerraformCommand) -> Product:
        """Return the product of a program that has not been run: the one that initialised the stack is known."""
        last = InitMark.program(self.config.stack_dir)
        if last is not None and last[0] == Path(located.command[0]):
            return last[1]
        return "tofu" if "tofu" in located.name else "terraform"

    def _prepare_state(self) -> None:
        self.backups.check_state()
        self.initialise()
        state = self._state_if_readable()
        self._warn_of_another_product(state)
        if self._restore_errored_state():
            state = self._state_if_readable()
        region = self._outputs_of(state).get("region")
        refuse_another_region(self.config, region.get("value") if isinstance(region, dict) else None)

    def _outputs_of(self, state: State | None) -> Mapping[str, Any]:
        """Return what `terraform output` prints, without Terraform where the state shows it."""
        if state is not None and state.outputs is not None:
            return state.outputs
        is_new = state is None and self.config.terraform.backend is None
        return {} if is_new else self.terraform.output()

    def _state_if_readable(self) -> State | None:
        """Return what :meth:`state` does; None also if it fails: Terraform reports what is wrong with its state."""
        try:
            return self.state()
        except PioTfError:
            return None

    def _warn_of_another_product(self, state: State | None) -> None:
        """Warn if OpenTofu wrote the state and Terraform is about to, or the other way round."""
        binary = self.terraform.binary
        if state is not None and state.product not in (None, binary.product):
            self.reporter(
                Warned(
                    f"the state was last written by {NAMES[state.product]}, and pio-tf uses {binary}: the next apply "
                    "rewrites it. Set terraform.binary, so that all clients use the same product"
                )
            )

    def _restore_errored_state(self) -> bool:
        """Restore the state of an apply that could not save it, if there is one: it knows what that apply has made.

        Return whether the state is another one now.
        """
        errored = self.config.stack_dir / ERRORED
        if not errored.is_file():
            return False
        self.reporter(Step(f"Restoring the state that Terraform could not save, from {errored}"))
        try:
            state = read_state(errored.read_bytes(), name=str(errored))
            if state is not None and state.encrypted:
                self._push_encrypted(errored)
            else:
                self.terraform.push_state(errored)
        except TerraformError as error:
            raise TerraformError(
                f"the state in {errored} could not be restored",
                cause=error.cause,
                next_step="Terraform wrote this file when it could not save its state. If the current state is newer, "
                f"remove the file; else {self.terraform.by_hand} state push -force {ERRORED}",
                details={**error.details, "errored_state": str(errored)},
            ) from error
        self.reporter(Done(f"the state is restored; a copy is saved as {self.backups.take(errored)}"))
        return True

    def _push_encrypted(self, errored: Path) -> None:
        """Push a state that OpenTofu has encrypted: its `state push` reads none, but its `state pull` decrypts one."""
        with TemporaryDirectory(dir=self.config.work_dir) as name:  # mode 0700
            scratch = Path(name)
            shutil.copyfile(errored, scratch / "terraform.tfstate")
            plain = replace(self.terraform, directory=scratch).pull_state_text()
            write_atomically(scratch / "plain.tfstate", plain)
            self.terraform.push_state(scratch / "plain.tfstate")


class InitMark:
    """A file in the stack's directory that says what the directory was initialised for.

    `terraform init` takes half a second and may ask registries; most commands need none.
    """

    def __init__(self, terraform: Terraform) -> None:
        self._terraform = terraform
        self._directory = terraform.directory

    @staticmethod
    def read(directory: Path) -> dict[str, Any]:
        """Return what the file of a stack's directory says; empty if there is none."""
        try:
            content = parse_json((directory / _INIT_MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @staticmethod
    def program(directory: Path) -> tuple[Path, Product] | None:
        """Return the program that initialised a stack's directory; None if that is unknown."""
        match InitMark.read(directory).get("terraform"):
            case [str(path), ("terraform" | "tofu") as product, *_]:
                return Path(path), product
        return None

    def is_current(self) -> bool:
        """Return whether nothing that init reads has changed since :meth:`write`, and its result still exists."""
        try:
            return self.read(self._directory) == self._content() and self._has_providers()
        except OSError:
            return False

    def write(self) -> None:
        """Record that the directory has just been initialised."""
        (self._directory / _INIT_MARK).write_text(json.dumps(self._content()), encoding="utf-8")

    def _content(self) -> dict[str, object]:
        binary, digest = self._terraform.binary, hashlib.sha256()
        for name, content in self._inputs():
            digest.update(name.encode() + b"\0" + content + b"\0")
        return {
            "terraform": [str(binary.path), binary.product, binary.version],
            "cli_config": self._terraform.environ.get("TF_CLI_CONFIG_FILE", ""),
            "sha256": digest.hexdigest(),
        }

    def _inputs(self) -> Iterator[tuple[str, bytes]]:
        """Yield what names providers, modules and the backend; values and ``prevent_destroy`` need no init."""
        for path in sorted(self._directory.glob("*.tf")):
            yield path.name, path.read_bytes()
        for path in sorted(self._directory.glob("modules/*/*.tf")):
            yield f"{path.parent.name}/{path.name}", b"\n".join(_NAMING_LINE.findall(path.read_bytes()))
        yield LOCK_FILE, (self._directory / LOCK_FILE).read_bytes()

    def _has_providers(self) -> bool:
        # They may be links into a mirror or a plugin cache that was removed.
        packages = list(self._directory.glob(".terraform/providers/*/*/*/*/*"))
        return bool(packages) and all(package.is_dir() for package in packages)
