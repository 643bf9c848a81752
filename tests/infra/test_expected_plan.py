"""A plan file must hold the stack of this pio-tf.hcl: forged ones are refused, part by part."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.load import load_config
from pio_tf.errors import GuardRefused, TerraformError
from pio_tf.infra.expected_plan import ExpectedPlan
from pio_tf.infra.plan_file import read_plan_file
from pio_tf.infra.root_module import render_stack, stack_variables
from tests.support.plan_files import MODULES, configuration, plan_file
from tests.support.shell import Project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

AWS = "registry.terraform.io/hashicorp/aws"
WORKER = {
    "address": 'module.spark_cluster.module.worker["worker-1"].aws_instance.this',
    "module_address": 'module.spark_cluster.module.worker["worker-1"]',
    "mode": "managed",
    "type": "aws_instance",
    "name": "this",
    "provider_name": AWS,
    "change": {"actions": ["create"]},
}
SHOWN = {
    "resource_changes": [WORKER],
    "configuration": {
        "provider_config": {"aws": {"full_name": AWS}},
        "root_module": {
            "module_calls": {
                "network": {
                    "module": {
                        "resources": [{"address": "x", "mode": "data", "type": "aws_subnet", "name": "existing"}]
                    }
                }
            }
        },
    },
}


class Forger:
    """A job that makes saved plans, honest and forged."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.files = configuration(render_stack(config))
        self.variables: dict[str, Any] = dict(stack_variables(config))

    def made(self, **parts: Any) -> bytes:  # noqa: ANN401
        """Make a plan file; parts that are not given are honest."""
        return plan_file(**{"files": self.files, "variables": self.variables, **parts})

    def accepted(self, content: bytes | None = None, shown: Mapping[str, Any] = SHOWN) -> None:
        ExpectedPlan(self.config).refuse_other(Path("plan"), self.made() if content is None else content, shown)

    def refused(self, content: bytes | None = None, shown: Mapping[str, Any] = SHOWN) -> list[str]:
        """Return the reasons of the refusal."""
        with pytest.raises(GuardRefused, match="refused, nothing was changed") as caught:
            self.accepted(content, shown)
        assert caught.value.next_step
        return caught.value.cause.splitlines()


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(load_config(Project(tmp_path, name="ur").write(), environ={}))


def test_an_honest_plan_is_accepted(forger: Forger) -> None:
    forger.accepted()


def test_a_backend_in_s3_is_compared_argument_by_argument(tmp_path: Path) -> None:
    block = 'backend "s3" {\n  bucket = "states"\n  max_retries = 7\n  allowed_account_ids = ["1"]\n}'
    forger = Forger(load_config(Project(tmp_path, name="ur").write(terraform=block), environ={}))
    arguments = {
        "acl": None,
        "allowed_account_ids": ["1"],
        "assume_role": None,
        "bucket": "states",
        "encrypt": True,
        "endpoints": {"s3": None, "sts": None},
        "key": "pio-tf/ur/terraform.tfstate",
        "max_retries": 7,
        "region": "us-east-1",
        "use_lockfile": True,
    }
    forger.accepted(forger.made(backend=("s3", arguments)))
    for other in ({"bucket": "mine"}, {"endpoints": {"s3": "https://mine.example"}}, {"encrypt": None}):
        (said,) = forger.refused(forger.made(backend=("s3", {**arguments, **other})))
        assert said.startswith("the backend of plan.tfplan differs")
    for backend in (("http", {"address": "https://mine.example"}), ("local", {})):
        assert "here it is 's3'" in forger.refused(forger.made(backend=backend))[0]


def test_another_backend_or_workspace_than_the_local_one(forger: Forger) -> None:
    forger.refused(forger.made(backend=("http", {"address": "https://mine.example"})))
    forger.refused(forger.made(backend=("local", {"path": "/mine"})))
    assert "workspace 'mine'" in forger.refused(forger.made(workspace="mine"))[0]


@pytest.mark.parametrize(
    "name",
    [
        "tfconfig/m-/evil.tf",
        "tfconfig/m-/main_override.tf",
        "tfconfig/m-/evil.tf.json",
        "tfconfig/m-/main.tofu",
        "tfconfig/m-driver.machine/evil.tf",
        "tfconfig/m-evil/main.tf",
    ],
)
def test_a_file_that_the_stack_does_not_have(forger: Forger, name: str) -> None:
    said = forger.refused(forger.made(files={**forger.files, name: 'data "external" "x" {}'}))
    assert said == [f"file {name} of plan.tfplan is not in the generated stack"]


def test_a_file_that_differs_or_is_missing(forger: Forger) -> None:
    name = "tfconfig/m-spark_cluster.worker/main.tf"
    said = forger.refused(forger.made(files={**forger.files, name: forger.files[name] + " "}))
    assert said == [f"file {name} of plan.tfplan differs from the generated stack"]
    forger.files.pop(name)
    assert forger.refused() == [f"file {name} of the generated stack is missing in plan.tfplan"]


def test_a_module_from_elsewhere(forger: Forger) -> None:
    said = forger.refused(forger.made(modules={**MODULES, "driver": "../modules/driver"}))
    assert said == ["module driver of plan.tfplan differs from the generated stack"]
    said = forger.refused(forger.made(modules={**MODULES, "evil": "modules/driver"}))
    assert said == ["module evil of plan.tfplan is not in the generated stack"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("tags", {"a": "b"}), ("software", None), ("network", {}), ("evil", "x"), ("region", "eu-west-1")],
)
def test_a_variable_with_another_value(forger: Forger, name: str, value: object) -> None:
    (said,) = forger.refused(forger.made(variables={**forger.variables, name: value}))
    assert f"variable {name} " in said


def test_text_is_compared_as_terraform_normalises_it(tmp_path: Path) -> None:
    decomposed, composed = "e\u0301", "\u00e9"
    block = f'name = "ur"\ntags = {{ team = "{decomposed}" }}'
    forger = Forger(load_config(Project(tmp_path, name="ur").write(cluster=block), environ={}))
    forger.accepted(forger.made(variables={**forger.variables, "tags": {"team": composed}}))


def test_values_are_not_shown_as_they_may_be_secrets(forger: Forger) -> None:
    (said,) = forger.refused(forger.made(variables={**forger.variables, "tags": {"x": "s3cret"}}))
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "terraform_data", "address": "terraform_data.x"}, "terraform_data.x is not a resource"),
        ({"mode": "data", "type": "external", "address": "data.external.x"}, "data.external.x is not a resource"),
        ({"module_address": "module.network"}, "is not a resource of pio-tf's modules"),
        ({"name": "that"}, "is not a resource of pio-tf's modules"),
        ({"provider_name": "registry.terraform.io/evil/aws"}, "is of the provider registry.terraform.io/evil/aws"),
        (
            {"type": "aws_s3_bucket", "change": {"actions": ["delete"]}},
            "is not a resource of pio-tf's modules",
        ),
    ],
)
def test_a_resource_that_the_modules_do_not_have(forger: Forger, change: dict[str, Any], said: str) -> None:
    assert said in "\n".join(forger.refused(shown={**SHOWN, "resource_changes": [{**WORKER, **change}]}))


def test_a_resource_of_an_older_version_of_the_modules_may_go(forger: Forger) -> None:
    old = {**WORKER, "module_address": None, "name": "old", "change": {"actions": ["delete"]}}
    forger.accepted(shown={**SHOWN, "resource_changes": [old]})
    forger.refused(shown={**SHOWN, "resource_changes": [{**old, "change": {"actions": ["delete", "create"]}}]})


def test_the_provider_as_opentofu_names_it(forger: Forger) -> None:
    forger.accepted(
        shown={**SHOWN, "resource_changes": [{**WORKER, "provider_name": "registry.opentofu.org/hashicorp/aws"}]}
    )


def test_an_instance_s_name_hides_no_module(forger: Forger) -> None:
    crafted = {**WORKER, "module_address": 'module.evil["].module.spark_cluster.module.worker["]'}
    assert "is not a resource" in forger.refused(shown={**SHOWN, "resource_changes": [crafted]})[0]


def configured(**resource: object) -> dict[str, Any]:
    one = {"address": "x", "mode": "managed", "type": "aws_key_pair", "name": "this", **resource}
    return {**SHOWN, "configuration": {"root_module": {"resources": [one]}}}


def test_provisioners_data_sources_providers_and_actions_in_what_terraform_shows(forger: Forger) -> None:
    forger.accepted(shown=configured())
    assert forger.refused(shown=configured(provisioners=[{"type": "local-exec"}])) == [
        "the configuration has a provisioner at x"
    ]
    assert "which pio-tf's modules do not have" in forger.refused(shown=configured(mode="data", type="http"))[0]
    evil = {"provider_config": {"aws": {"full_name": "registry.terraform.io/evil/aws"}}}
    assert forger.refused(shown={**SHOWN, "configuration": evil}) == [
        "the configuration has the provider registry.terraform.io/evil/aws"
    ]
    assert "invokes actions" in forger.refused(shown={**SHOWN, "action_invocations": [{}]})[0]


def test_a_plan_json_that_is_none(forger: Forger) -> None:
    with pytest.raises(TerraformError, match="the plan cannot be read, so it is not applied"):
        forger.accepted(shown={"resource_changes": [{}]})


# What is no plan file, and what Python and Go would read differently


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is not a zip archive"),
        (b"PK", "it is not a zip archive"),
        (b'{"encrypted_data": ""}', "it is encrypted (OpenTofu)"),
        (b"{}", "it is JSON, not a plan file"),
    ],
)
def test_what_is_no_plan_file(forger: Forger, content: bytes, why: str) -> None:
    assert why in forger.refused(content)[0]


def test_a_plan_file_with_something_before_or_behind_it(forger: Forger) -> None:
    honest = forger.made()
    for content in (b"x" + honest, honest + b"x", honest[:-2] + b"\x01\x00x"):
        forger.refused(content)


def test_a_plan_file_with_a_second_directory_that_only_python_reads(forger: Forger) -> None:
    """A locator of the 64-bit format: Python follows it always, Go only if the archive needs it."""
    evil = forger.made(files={**forger.files, "tfconfig/m-/evil.tf": ""})
    locator = b"PK\x06\x07" + bytes(4) + (0).to_bytes(8, "little") + (1).to_bytes(4, "little")
    forger.refused(evil[:-22] + locator + evil[-22:])


def test_two_files_of_one_name(forger: Forger) -> None:
    buffer = BytesIO(forger.made())
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("tfconfig/m-/main.tf", forger.files["tfconfig/m-/main.tf"])
    assert "two files of one name" in forger.refused(buffer.getvalue())[0]


def test_a_plan_file_that_does_not_fit_into_memory(forger: Forger) -> None:
    content = forger.made(more={"bomb": "x"})
    entry = content.rindex(b"bomb") - 46  # its header in the archive's directory, whose byte 24 begins its size
    bomb = content[: entry + 24] + (600 << 20).to_bytes(4, "little") + content[entry + 28 :]
    assert "it is larger than 512 MiB" in forger.refused(bomb)[0]


@pytest.mark.parametrize("name", ["tfplan", "tfconfig/modules.json"])
@pytest.mark.parametrize("text", [b"", b"\xff\xff\xff\xff", b"[]", b"[{}]", b"\x0a\x05x", b"\x6a\x00"])
def test_a_part_that_is_not_as_terraform_writes_it(forger: Forger, name: str, text: bytes) -> None:
    forger.refused(forger.made(more={name: text}) if name != "tfplan" else _with_plan(forger, text))


def _with_plan(forger: Forger, text: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(forger.made())) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, text if name == "tfplan" else old.read(name))
    return buffer.getvalue()


def test_values_of_every_size_are_read(forger: Forger) -> None:
    value = {
        "numbers": [0, 127, 128, -1, -33, 1 << 40, 1.5],
        "texts": ["", "x" * 31, "x" * 300, "ü"],
        "many": {f"name-{number}": [None, True, False] for number in range(40)},
        "list": list(range(40)),
    }
    assert read_plan_file(forger.made(variables={"software": value})).variables == {"software": value}


def test_an_unknown_value_is_no_value(forger: Forger) -> None:
    plan = zipfile.ZipFile(BytesIO(forger.made(variables={"region": "@@@"}))).read("tfplan")
    unknown = _with_plan(forger, plan.replace(b"\xa3@@@", b"\xd5\x00\x00\x00"))
    with pytest.raises(ValueError, match="a value is unknown"):
        read_plan_file(unknown)
