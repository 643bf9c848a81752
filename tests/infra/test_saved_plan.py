"""The content of a saved plan, and every reason to refuse it. The plan is real; no machine is made."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.infra.redaction import redact_plan
from tests.infra.saved_plans import cluster, edited, fresh_checkout, manifest, rewrite, use_another_account
from tests.support.deployments import deployment
from tests.support.provider_scripts import terraform_of
from tests.support.site import Site, terraform
from tests.support.state_bucket import state

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws


FILES = ["manifest.json", "plan.json", "plan.md", "plan.tfplan", "terraform.lock.hcl"]
NETWORK = 'cidr = "127.77.63.0/24"'


class Project:
    """A project with a local state, with a saved plan."""

    def __init__(self, site: Site) -> None:
        self.site = site
        config = self.config()
        self.set_state(serial=3)
        self.original = site.directory / "project"
        cluster(config).plan(self.original)

    def config(self) -> Config:
        """Return the configuration as it was planned."""
        return self.site.write(network=NETWORK)

    def set_state(self, *, serial: int, lineage: str = "f3c1") -> None:
        """Put a state of a creation that was cut off early."""
        file = self.config().stack_dir / "terraform.tfstate"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(state(serial=serial, lineage=lineage))

    def refusal(self, directory: Path, config: Config | None = None) -> str:
        """Return the reason why pio-tf refuses the plan in a directory. Nothing is there after it."""
        with pytest.raises(GuardRefused) as caught:
            cluster(config or self.config()).apply(directory)
        assert caught.value.next_step
        assert self.site.instances() == {}
        return str(caught.value)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Project:
    return Project(Site(directory=tmp_path_factory.mktemp("project"), name="demo", url=aws.url, mirror=mirror))


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Path:
    """Make a copy of the saved plan, to be spoilt."""
    return shutil.copytree(project.original, tmp_path / "copy")


# What it holds


def test_it_says_what_it_was_made_from_and_for_what(project: Project) -> None:
    assert sorted(path.name for path in project.original.iterdir()) == FILES
    written = manifest(project.original)
    target = written.target
    assert (target.cluster, target.account, target.region) == ("demo", "123456789012", "us-east-1")
    assert target.terraform == "terraform 1.15.5"
    assert written.providers == {"registry.terraform.io/hashicorp/aws": "3.39.0"}
    assert (written.state.backend, written.state.lineage, written.state.serial) == ("local", "f3c1", 3)
    assert written.has_changes
    assert written.who.startswith("arn:aws:sts::123456789012:")
    assert json.loads((project.original / "manifest.json").read_text())["stack_digest"] == written.stack_digest


def test_the_plan_file_is_for_this_user_only(project: Project) -> None:
    assert stat.S_IMODE((project.original / "plan.tfplan").stat().st_mode) == 0o600


def test_plan_json_is_terraform_s_without_secrets(project: Project) -> None:
    shown = deployment(project.config()).stack.terraform.show(project.original / "plan.tfplan")
    assert json.loads((project.original / "plan.json").read_text()) == redact_plan(shown)


def test_the_summary_can_be_found_and_says_what_is_made(project: Project) -> None:
    text = (project.original / "plan.md").read_text()
    assert text.startswith("<!-- pio-tf plan demo -->\n### pio-tf plan for `demo`: changes\n")
    assert "**14 to create, nothing is removed or replaced.**" in text
    assert '| `module.spark_cluster.module.worker["worker-1"].aws_instance.this` (worker-1) | `m5.large`,' in text
    assert "| Guard | passed |" in text
    assert "| AWS account | `123456789012` |" in text


def test_a_plan_is_written_over_an_older_one_and_over_nothing_else(project: Project, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds files that pio-tf did not write: plan\.json"):
        cluster(project.config()).plan(tmp_path)
    assert (tmp_path / "plan.json").read_text() == "{}"


def test_a_plan_that_fails_leaves_no_older_one_to_be_applied(project: Project, copy: Path) -> None:
    config = project.site.write(network='vpc_id = "vpc-0123456789abcdef0"\nsubnet_id = "subnet-0123456789abcdef0"')
    with pytest.raises(ConfigError, match="does not exist"):
        cluster(config).plan(copy)
    assert list(copy.iterdir()) == []


def test_the_guard_takes_the_directory_as_it_was_written(project: Project) -> None:
    assert cluster(project.config()).guard(project.original).refused == ()


def test_a_plan_of_a_stack_with_files_of_others_is_refused_when_it_is_made(project: Project, copy: Path) -> None:
    """Refuse such a plan before the job that applies it."""
    mine = project.config().stack_dir / "mine.tf"
    mine.write_text("locals {}\n")
    try:
        with pytest.raises(GuardRefused, match=r"was not made from pio-tf\.hcl") as caught:
            cluster(project.config()).plan(copy)
    finally:
        mine.unlink()
    assert caught.value.cause == "file tfconfig/m-/mine.tf of plan.tfplan is not in the generated stack"
    assert f"remove from {project.config().stack_dir} the files that pio-tf did not write" in caught.value.next_step
    assert sorted(path.name for path in copy.iterdir()) == ["plan.json", "plan.md"]
    assert "mine.tf" in (copy / "plan.md").read_text()


# Another cluster, region, account, configuration, version


def test_a_plan_of_another_cluster(project: Project, copy: Path) -> None:
    other = edited(project.config(), 'name = "demo"', 'name = "other"')
    said = project.refusal(copy, other)
    assert "cluster: demo in the plan, other here" in said
    assert not other.work_dir.exists()


def test_a_plan_of_another_region(project: Project, copy: Path) -> None:
    said = project.refusal(copy, edited(project.config(), '"us-east-1"', '"eu-west-1"'))
    assert "region: us-east-1 in the plan, eu-west-1 here" in said


def test_a_plan_of_another_account(project: Project, copy: Path) -> None:
    config = project.config()
    use_another_account(project.site, "222222222222")
    said = project.refusal(copy, config)
    assert "AWS account: 123456789012 in the plan, 222222222222 here" in said
    assert "use credentials of the account 123456789012" in said


def test_a_plan_of_another_configuration_names_the_files_of_the_stack_that_differ(project: Project, copy: Path) -> None:
    said = project.refusal(copy, project.site.write(network=NETWORK, spark="workers = 2"))
    assert "the stack (terraform.tfvars): " in said
    assert "use the pio-tf.hcl and the public key (ssh.key) that were planned" in said


def test_all_differences_are_reported_at_once(project: Project, copy: Path) -> None:
    config = edited(edited(project.config(), '"us-east-1"', '"eu-west-1"'), 'name = "demo"', 'name = "other"')
    said = project.refusal(copy, config)
    assert "cluster: demo in the plan" in said
    assert "region: us-east-1 in the plan" in said


def test_another_version_of_terraform(project: Project, copy: Path) -> None:
    program = project.site.directory / "terraform"
    real = terraform_of(project.site.mirror)
    program.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo Terraform v1.16.2 && exit\nexec {real} "$@"\n')
    program.chmod(0o755)
    said = project.refusal(copy, edited(project.config(), str(real), "./terraform"))
    assert "Terraform: terraform 1.15.5 in the plan, terraform 1.16.2 here" in said


def test_another_version_of_the_provider(project: Project, copy: Path) -> None:
    config = project.config()
    locks = config.stack_dir / ".terraform.lock.hcl"
    before = locks.read_text()
    try:
        locks.write_text(before.replace("3.39.0", "5.99.0"))
        said = project.refusal(copy)
    finally:
        locks.write_text(before)
    assert "provider registry.terraform.io/hashicorp/aws: 3.39.0 in the plan, 5.99.0 here" in said


# Another state


def test_a_plan_that_is_older_than_the_state(project: Project, copy: Path) -> None:
    project.set_state(serial=4)
    try:
        said = project.refusal(copy)
    finally:
        project.set_state(serial=3)
    assert "serial of the state: 3 in the plan, 4 here (something was applied since)" in said
    assert f"make a new plan (`pio-tf plan --out {copy}`)" in said


def test_a_state_of_another_lineage(project: Project, copy: Path) -> None:
    project.set_state(serial=3, lineage="a0b1")
    try:
        said = project.refusal(copy)
    finally:
        project.set_state(serial=3)
    assert "lineage of the state: f3c1 in the plan, a0b1 here (another state)" in said


def test_a_local_state_in_another_directory(project: Project, copy: Path, tmp_path: Path) -> None:
    other = fresh_checkout(project.config(), tmp_path / "checkout")
    said = project.refusal(copy, other)
    assert "the state is a local file: " in said
    assert f"{project.config().stack_dir}/terraform.tfstate in the plan" in said
    assert f"{other.stack_dir}/terraform.tfstate here" in said
    assert "keep the state where every job finds it (`terraform.backend`)" in said


# Changed, or not to be read


@pytest.mark.parametrize("name", [name for name in FILES if name != "manifest.json"])
def test_a_file_that_was_edited(project: Project, copy: Path, name: str) -> None:
    with (copy / name).open("ab") as file:
        file.write(b" ")
    assert f"{copy / name} was changed or damaged after the plan was made" in project.refusal(copy)


def test_a_plan_file_that_is_cut_short(project: Project, copy: Path) -> None:
    (copy / "plan.tfplan").write_bytes((copy / "plan.tfplan").read_bytes()[:1000])
    assert "plan.tfplan was changed or damaged" in project.refusal(copy)


def test_a_manifest_that_was_edited(project: Project, copy: Path) -> None:
    file = copy / "manifest.json"
    file.write_text(file.read_text().replace('"serial": 3', '"serial": 4'))
    assert "manifest.json was changed or damaged" in project.refusal(copy)


def test_a_plan_json_that_was_edited_together_with_the_manifest(project: Project, copy: Path) -> None:
    file = copy / "plan.json"
    file.write_text(file.read_text().replace("m5.large", "t3.nano"))
    rewrite(copy)
    assert "it differs from plan.tfplan" in project.refusal(copy)


def test_a_plan_file_of_another_cluster_under_a_manifest_of_this_one(project: Project, copy: Path) -> None:
    other = Site(
        directory=project.site.directory / "other", name="other", url=project.site.url, mirror=project.site.mirror
    )
    other.directory.mkdir()
    planned = other.directory / "project"
    cluster(other.write(network=NETWORK)).plan(planned)
    for name in ("plan.tfplan", "plan.json"):
        shutil.copy(planned / name, copy / name)
    rewrite(copy)
    said = project.refusal(copy)
    assert "was not made from pio-tf.hcl" in said
    assert "variable cluster of plan.tfplan differs from the generated stack: other in the plan, demo here" in said


def forge(project: Project, copy: Path, scratch: Path, *arguments: str, evil: str = "") -> None:
    """Make the plan of a copy of the stack, with more in it, and write everything beside it again."""
    config = project.config()
    stack = shutil.copytree(config.stack_dir, scratch / "stack", symlinks=True)
    if evil:
        (stack / "evil.tf").write_text(evil)
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(config.path.with_name("credentials"))}
    for command in (["init"], ["plan", f"-out={copy / 'plan.tfplan'}", *arguments]):
        done = terraform(*command, "-input=false", cwd=stack, TF_CLI_CONFIG_FILE=str(project.site.mirror), **environ)
        assert done.returncode == 0, done.stderr
    shown = terraform("show", "-json", str(copy / "plan.tfplan"), cwd=stack)
    (copy / "plan.json").write_text(json.dumps(redact_plan(json.loads(shown.stdout))))
    shutil.copy(stack / ".terraform.lock.hcl", copy / "terraform.lock.hcl")
    rewrite(copy)


def test_a_plan_of_the_stack_with_a_command_in_it_runs_nothing(project: Project, copy: Path, tmp_path: Path) -> None:
    proof = tmp_path / "it ran"
    provisioner = f'provisioner "local-exec" {{\n    command = "touch \'{proof}\'"\n  }}'
    evil = f'resource "terraform_data" "x" {{\n  {provisioner}\n}}\n'
    forge(project, copy, tmp_path, evil=evil)
    for take in ("apply", "check_plan", "guard"):
        with pytest.raises(GuardRefused, match=r"was not made from pio-tf\.hcl: refused") as caught:
            getattr(cluster(project.config()), take)(copy)
        said = caught.value.cause.splitlines()
        assert "file tfconfig/m-/evil.tf of plan.tfplan is not in the generated stack" in said
        assert "terraform_data.x is not a resource of pio-tf's modules" in said
        assert "terraform_data.x is of the provider terraform.io/builtin/terraform" in said
        assert "the configuration has a provisioner at terraform_data.x" in said
    assert not proof.exists()


def test_a_plan_of_the_stack_with_other_variables(project: Project, copy: Path, tmp_path: Path) -> None:
    """The files of the configuration are the stack's; what its machines would download is not."""
    evil = tmp_path / "evil.tfvars"
    tfvars = (project.config().stack_dir / "terraform.tfvars").read_text()
    evil.write_text(tfvars.replace("https://archive.apache.org/", "https://archive.example/"))
    forge(project, copy, tmp_path, f"-var-file={evil}")
    with pytest.raises(GuardRefused) as caught:
        cluster(project.config()).apply(copy)
    assert caught.value.cause == "variable software of plan.tfplan differs from the generated stack"


def test_an_encrypted_plan(project: Project, copy: Path) -> None:
    """Refuse a plan of OpenTofu with TF_ENCRYPTION, which pio-tf cannot read."""
    (copy / "plan.tfplan").write_text('{"meta": {}, "encrypted_data": "c2VjcmV0", "encryption_version": "v0"}')
    rewrite(copy)
    said = project.refusal(copy)
    assert "plan.tfplan cannot be compared with the stack" in said
    assert "it is encrypted (OpenTofu)" in said
    assert "make it without encryption of plans" in said


def test_the_lock_file_that_is_here_stays(project: Project, copy: Path) -> None:
    config = project.config()
    locks = config.stack_dir / ".terraform.lock.hcl"
    before = locks.read_text()
    ours = before.replace("hashes = [", 'hashes = [\n    "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",')
    try:
        locks.write_text(ours)
        said = project.refusal(copy)
        assert locks.read_text() == ours
    finally:
        locks.write_text(before)
    assert "checksums of the providers in .terraform.lock.hcl" in said


def test_a_manifest_of_a_newer_pio_tf(project: Project, copy: Path) -> None:
    file = copy / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 2}))
    said = project.refusal(copy)
    assert "a newer pio-tf wrote the saved plan" in said
    assert "manifest.json has version 2" in said
    assert "use the same pio-tf for plan and apply" in said


def test_another_pio_tf(project: Project, copy: Path) -> None:
    rewrite(copy, lambda one: replace(one, target=replace(one.target, pio_tf="9.9.9")))
    assert "use pio-tf 9.9.9 here, as for the plan" in project.refusal(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing(project: Project, copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ConfigError, match="holds no plan that can be applied") as caught:
        cluster(project.config()).apply(copy)
    assert name in caught.value.cause
    assert "pio-tf plan --out" in caught.value.next_step


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"version": 1'])
def test_a_manifest_that_cannot_be_read(project: Project, copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"manifest\.json cannot be read") as caught:
        cluster(project.config()).apply(copy)
    assert "copy the whole directory again" in caught.value.next_step


@pytest.mark.parametrize("missing", ["nothing", "plan.json"])
def test_a_directory_that_is_none(project: Project, copy: Path, missing: str) -> None:
    with pytest.raises(ConfigError, match="holds no plan that can be applied"):
        cluster(project.config()).apply(copy / missing)
