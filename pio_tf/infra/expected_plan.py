"""The expected contents of a plan of this pio-tf.hcl, to compare with a saved plan.

Everything in a saved plan's directory is the claim of the job that wrote it, its manifest included. Terraform applies
what is inside the plan file: its configuration, variables and backend. So pio-tf compares these with the stack that it
generates here and now. Resources, providers and provisioners are compared as well, though the configuration decides
them: what Terraform shows of a plan is then no surprise either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from pio_tf.errors import GuardRefused
from pio_tf.infra.backend.s3 import s3_backend
from pio_tf.infra.plan_file import CONFIGURATION, PlanFile, read_plan_file, reading_plan
from pio_tf.infra.root_module import render_stack, stack_variables
from pio_tf.infra.saved_plan import PLAN, PLAN_AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config

PROVIDERS: Final = ("registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws")
"""The AWS provider, as Terraform and OpenTofu name it."""
_MODULE_CALL = re.compile(r'^module "([\w-]+)" \{\s+source\s*=\s*"(\./[^"]+|\.\./[^"]+)"$', re.MULTILINE)
"""The call of a module, as pio-tf's own modules write it."""
_RESOURCE = re.compile(r'^(resource|data) "(\w+)" "([\w-]+)" \{', re.MULTILINE)
_INSTANCE_KEY = re.compile(r'\[(?:\d+|"(?:[^"\\]|\\.)*")\]')
_SHOWN_VARIABLES = ("cluster", "region")
"""An error may show the values of these variables; others may hold secrets."""


class _Kind(Struct, frozen=True):
    """A resource or data source of the modules, whatever its instances."""

    module: str
    mode: str
    type: str
    name: str


class ExpectedPlan(Struct, frozen=True, dict=True):
    """The expected contents of a plan of one pio-tf.hcl."""

    config: Config

    def refuse_other(self, directory: Path, plan: bytes, plan_json: Mapping[str, Any]) -> None:
        """Refuse a plan that was made from anything but this pio-tf.hcl and this pio-tf's modules.

        Args:
            directory: of the saved plan, for errors.
            plan: the plan file.
            plan_json: what Terraform shows of it.

        Raises:
            GuardRefused: the plan file has other files, variables or another backend; or the plan has a resource,
                provider or provisioner that the modules do not have; or the plan file cannot be read.
        """
        try:
            found = read_plan_file(plan)
        except ValueError as error:
            raise _unreadable(directory, str(error)) from error
        with reading_plan():
            differences = [*self._other_configuration(found), *self._foreign_content(plan_json)]
        if differences:
            raise GuardRefused(
                f"saved plan {directory} was not made from {self.config.path.name}: refused, nothing was changed",
                cause="\n".join(differences),
                next_step="use the pio-tf.hcl, the public key and the pio-tf that the plan was made with, remove from "
                f"{self.config.stack_dir} the files that pio-tf did not write, or "
                + PLAN_AGAIN.format(directory=directory),
                details={"differences": differences},
            )

    def _other_configuration(self, found: PlanFile) -> Iterator[str]:
        for what, here, there in (
            ("module", self._modules, found.modules),
            ("file", self._configuration, found.files),
            ("variable", _plain(stack_variables(self.config)), _plain(found.variables)),
        ):
            for name in sorted({*here, *there}):
                if name not in here:
                    yield f"{what} {name} of {PLAN} is not in the generated stack"
                elif name not in there:
                    yield f"{what} {name} of the generated stack is missing in {PLAN}"
                elif here[name] != there[name]:
                    shown = what == "variable" and name in _SHOWN_VARIABLES
                    values = f": {there[name]} in the plan, {here[name]} here" if shown else ""
                    yield f"{what} {name} of {PLAN} differs from the generated stack{values}"
        backend, (kind, arguments) = self._backend, found.backend
        if (backend[0], backend[1], "default") != (kind, _plain(arguments), found.workspace):
            yield f"the backend of {PLAN} differs: {kind!r}, workspace {found.workspace!r}; here it is {backend[0]!r}"

    def _foreign_content(self, plan_json: Mapping[str, Any]) -> Iterator[str]:
        types = {(one.mode, one.type) for one in self._kinds}
        for change in plan_json.get("resource_changes") or ():
            kind = _Kind(_path(change.get("module_address")), change["mode"], change["type"], change["name"])
            # An earlier version of the modules may have made what this one no longer has; other rules judge removals.
            leaves = not {"create", "update", "read"} & set(change["change"]["actions"])
            if kind not in self._kinds and not (leaves and (kind.mode, kind.type) in types):
                yield f"{change['address']} is not a resource of pio-tf's modules"
            if change["provider_name"] not in PROVIDERS:
                yield f"{change['address']} is of the provider {change['provider_name']}"
        for name in ("action_invocations", "deferred_action_invocations"):
            if plan_json.get(name):
                yield f"the plan invokes actions ({name}), which pio-tf's modules do not have"
        configuration = plan_json.get("configuration") or {}
        for one in (configuration.get("provider_config") or {}).values():
            if one["full_name"] not in PROVIDERS:
                yield f"the configuration has the provider {one['full_name']}"
        for module, resource in _configured(configuration.get("root_module") or {}):
            kind = _Kind(module, resource["mode"], resource["type"], resource["name"])
            if kind not in self._kinds:
                yield f"the configuration has {resource['address']}, which pio-tf's modules do not have"
            if resource.get("provisioners"):
                yield f"the configuration has a provisioner at {resource['address']}"

    @cached_property
    def _stack(self) -> dict[str, str]:
        return render_stack(self.config)

    @cached_property
    def _modules(self) -> dict[str, str]:
        """The directory of each module, by its path."""
        found, new = {"": "."}, [""]
        while new:
            parent = new.pop()
            for name, text in self._stack.items():
                if name.endswith(".tf") and (dirname(name) or ".") == found[parent]:
                    for call, source in _MODULE_CALL.findall(text):
                        path = f"{parent}.{call}".lstrip(".")
                        found[path] = normpath(join(found[parent], source))
                        new.append(path)
        return found

    def _files_of(self, directory: str) -> dict[str, str]:
        """Return the .tf files of a module's directory, by their names."""
        return {
            name.rpartition("/")[2]: text
            for name, text in self._stack.items()
            if name.endswith(".tf") and (dirname(name) or ".") == directory
        }

    @cached_property
    def _configuration(self) -> dict[str, str]:
        """The stack's files as a plan file names them: those of a module once for each call."""
        return {
            f"{CONFIGURATION}{module}/{name}": text
            for module, directory in self._modules.items()
            for name, text in self._files_of(directory).items()
        }

    @cached_property
    def _kinds(self) -> frozenset[_Kind]:
        return frozenset(
            _Kind(module, "data" if keyword == "data" else "managed", kind, name)
            for module, directory in self._modules.items()
            for text in self._files_of(directory).values()
            for keyword, kind, name in _RESOURCE.findall(text)
        )

    @property
    def _backend(self) -> tuple[str, Any]:
        backend, s3 = self.config.terraform.backend, s3_backend(self.config)
        if backend is None:
            return "local", {}
        return backend.type, _plain(s3.arguments if s3 is not None else backend.arguments)


def _configured(module: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each resource of a plan's configuration, with the path of its module."""
    for resource in module.get("resources") or ():
        yield path, resource
    for name, call in (module.get("module_calls") or {}).items():
        yield from _configured(call.get("module") or {}, f"{path}.{name}".lstrip("."))


def _path(module_address: str | None) -> str:
    """Return a module's path without instance keys: ``spark_cluster.worker``."""
    bare = _INSTANCE_KEY.sub("", module_address or "")
    return ".".join(re.findall(r"(?:^|\.)module\.([\w-]+)", bare)) if bare else ""


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value without nulls, and with scalars as text, since Terraform converts them to each argument's type."""
    if isinstance(value, Mapping):
        items = ((str(_plain(name)), _plain(one)) for name, one in value.items())
        return {name: one for name, one in items if one not in (None, {})}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else unicodedata.normalize("NFC", str(value))  # as Terraform does


def _unreadable(directory: Path, cause: str) -> GuardRefused:
    advice = "check that the whole directory was copied, or " + PLAN_AGAIN.format(directory=directory)
    if "encrypted" in cause:
        advice = (
            "pio-tf applies no plan that it cannot read: make it without encryption of plans (`plan` in TF_ENCRYPTION; "
            "`state` may stay encrypted), or use `pio-tf apply` without a saved plan"
        )
    return GuardRefused(
        f"{directory / PLAN} cannot be compared with the stack: refused, nothing was changed",
        cause=cause,
        next_step=advice,
        details={"file": PLAN},
    )
