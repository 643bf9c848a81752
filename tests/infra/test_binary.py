"""The choice of a Terraform, and the errors if there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.adopted import AdoptedCluster, render_adopted
from pio_tf.config.load import parse_config
from pio_tf.errors import TerraformError
from pio_tf.events import Warned
from pio_tf.fact_cache import FactCache
from pio_tf.infra.binary import (
    TerraformBinary,
    TerraformCommand,
    bundled_command,
    find_terraform,
    locate_terraform,
    program_key,
    require_imports,
)
from pio_tf.infra.deployment import Deployment
from tests.support.deployments import Recorder
from tests.support.provider_scripts import TERRAFORM
from tests.support.site import Site
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.infra.binary import Product


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(directory=tmp_path, name="demo", url="http://127.0.0.1:1", mirror=tmp_path / "terraformrc")


def with_binary(site: Site, binary: str | None) -> Config:
    config = site.write()
    return config.model_copy(update={"terraform": config.terraform.model_copy(update={"binary": binary})})


def program(directory: Path, name: str, *, version: str, says: str = "Terraform v") -> Path:
    """Make a program that answers ``version`` as Terraform does, and nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f'#!/bin/sh\n[ "$*" = version ] && printf "{says}{version}\\non linux_amd64\\n"\n')
    path.chmod(0o755)
    return path


def test_the_configured_one_comes_first(site: Site) -> None:
    program(site.directory / "bin", "terraform", version="1.9.0")
    mine = program(site.directory, "my-terraform", version="1.5.7")

    found = find_terraform(with_binary(site, str(mine)), environ={"PATH": str(site.directory / "bin")})

    assert (found.path, found.version) == (mine, "1.5.7")


def test_a_relative_path_is_meant_from_the_configurations_directory(site: Site) -> None:
    mine = program(site.directory / "tools", "tf", version="1.5.7")
    assert find_terraform(with_binary(site, "tools/tf"), environ={"PATH": ""}).path == mine


def test_terraform_on_path_comes_before_tofu(site: Site) -> None:
    tofu = program(site.directory / "bin", "tofu", version="1.8.0", says="OpenTofu v")
    environ = {"PATH": f"{site.directory / 'bin'}:/bin:/usr/bin"}
    found = find_terraform(with_binary(site, str(tofu)), environ=environ)
    assert (found.product, found.version) == ("tofu", "1.8.0")

    terraform = program(site.directory / "bin", "terraform", version="1.9.0")
    assert find_terraform(with_binary(site, None), environ=environ).path == terraform


def test_without_any_on_path_the_bundled_one_is_used(site: Site) -> None:
    found = find_terraform(with_binary(site, None), environ={"PATH": str(site.directory)})
    assert found.command == (str(TERRAFORM),)
    assert found.version.startswith("1.")
    assert bundled_command() == [str(TERRAFORM)]


@pytest.mark.parametrize(
    ("name", "says", "product"), [("terraform", "OpenTofu v", "tofu"), ("tofu", "Terraform v", "terraform")]
)
def test_the_product_is_what_version_prints_and_not_the_name_of_the_file(
    site: Site, name: str, says: str, product: str
) -> None:
    program(site.directory / "bin", name, version="1.10.0-rc1", says=says)
    found = find_terraform(with_binary(site, None), environ={"PATH": f"{site.directory / 'bin'}:/bin:/usr/bin"})
    assert (found.product, found.version, found.numbers) == (product, "1.10.0-rc1", (1, 10, 0))


def test_an_old_terraform_on_path_does_not_hide_the_bundled_one(site: Site) -> None:
    old = program(site.directory / "bin", "terraform", version="1.2.9")
    recorder = Recorder()
    environ = {"PATH": f"{site.directory / 'bin'}:/bin:/usr/bin"}

    found = find_terraform(with_binary(site, None), environ=environ, reporter=recorder)

    assert found.command == (str(TERRAFORM),)
    (warning,) = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert warning.startswith(f"Terraform 1.2.9 is too old: pio-tf needs 1.3.0 or newer (found on PATH: {old}): pio-tf")
    assert warning.endswith(f"uses {found} instead")


def test_one_that_this_cluster_cannot_use_does_not_hide_another_one(site: Site) -> None:
    program(site.directory / "bin", "terraform", version="1.9.8")
    tofu = program(site.directory / "bin", "tofu", version="1.10.0", says="OpenTofu v")

    def require(binary: TerraformBinary) -> None:
        if binary.numbers < (1, 10, 0):
            raise TerraformError(f"{binary} cannot lock a state in S3")

    environ = {"PATH": f"{site.directory / 'bin'}:/bin:/usr/bin"}
    assert find_terraform(with_binary(site, None), environ=environ, require=require).path == tofu


def test_the_one_that_initialised_the_stack_reads_it_too(site: Site) -> None:
    program(site.directory / "bin", "terraform", version="1.2.9")
    environ, config = {"PATH": str(site.directory / "bin")}, with_binary(site, None)
    first, bundled = (locate_terraform(config, environ=environ, last=last) for last in (None, TERRAFORM))
    assert first is not None
    assert first.name == "terraform"
    assert bundled is not None
    assert bundled.command == (str(TERRAFORM),)


def test_the_product_that_initialised_the_stack_is_named_without_another_version_check(tmp_path: Path) -> None:
    stand_in = TerraformStandIn(tmp_path, product="OpenTofu")  # its file is named terraform
    stand_in.prints(output=b"{}")
    Deployment(stand_in.config, environ={"PATH": "/usr/bin:/bin"}).prepare()
    stand_in.prints(output=b"no JSON")
    with pytest.raises(TerraformError, match="`tofu output -json` did not print JSON"):
        Deployment(stand_in.config, environ={"PATH": "/usr/bin:/bin"}).outputs()


@pytest.mark.parametrize(
    ("path", "name"), [("", str(TERRAFORM)), (str(TERRAFORM.parent), TERRAFORM.name)], ids=["elsewhere", "on PATH"]
)
def test_next_steps_name_the_bundled_one_as_users_can_type_it(site: Site, path: str, name: str) -> None:
    found = find_terraform(with_binary(site, None), environ={"PATH": path})
    assert found.by_hand(Path("/stack")) == f"{name} -chdir=/stack"


@pytest.mark.parametrize(("product", "version"), [("terraform", "1.4.7"), ("terraform", "1.5.0"), ("tofu", "1.6.0")])
def test_machines_that_exist_already_need_import_blocks(product: Product, version: str) -> None:
    ids = {"driver": "i-0d", "master": "i-0a", "worker-1": "i-01"}
    adopted = AdoptedCluster("ur", {"region": "us-east-1"}, ids, {"key": "id"}, "~/ur", terraform={})
    binary = TerraformBinary(Path("/bin/terraform"), product, version)
    config = parse_config(render_adopted(adopted), path=Path("/project/pio-tf.hcl"), environ={})
    if version != "1.4.7":
        require_imports(config, binary)
        return
    with pytest.raises(TerraformError, match=r"has no import blocks, which are new in 1\.5\.0") as caught:
        require_imports(config, binary)
    assert "pio-tf adopt --power-only" in caught.value.next_step


@pytest.mark.parametrize(
    ("name", "version", "product"), [("terraform", "1.2.9", "Terraform"), ("tofu", "1.5.0", "OpenTofu")]
)
def test_one_that_is_too_old_is_refused_with_what_to_install(site: Site, name: str, version: str, product: str) -> None:
    program(site.directory / "bin", name, version=version, says=f"{product} v")

    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, str(site.directory / "bin" / name)), environ={"PATH": "/bin:/usr/bin"})

    assert f"{product} {version} is too old" in caught.value.what
    assert "pip install 'pio-tf[terraform]'" in caught.value.next_step


def test_a_configured_one_that_is_missing_is_named_with_its_line(site: Site) -> None:
    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, "/nowhere/terraform"), environ={"PATH": ""})

    assert caught.value.what.startswith("pio-tf.hcl:")
    assert "/nowhere/terraform cannot be run" in caught.value.what
    assert caught.value.cause == "there is no such program"


def test_a_configured_one_that_is_not_executable_is_reported(site: Site) -> None:
    program(site.directory, "tf", version="1.9.0").chmod(0o644)
    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, "./tf"), environ={"PATH": ""})
    assert caught.value.cause == "the file is not executable"


def test_a_program_that_is_no_terraform_is_refused_with_what_it_said(site: Site) -> None:
    path = site.directory / "tf"
    path.write_text("#!/bin/sh\necho 'usage: tf FILE' >&2\nexit 64\n")
    path.chmod(0o755)
    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, "./tf"), environ={"PATH": "/bin"})
    assert "exit code 64 and said: usage: tf FILE" in caught.value.cause


def test_the_version_of_a_program_is_asked_once(site: Site, tmp_path: Path) -> None:
    config, kept = with_binary(site, None), FactCache(tmp_path)
    first = find_terraform(config, environ={"PATH": ""}, kept=kept)
    (file,) = tmp_path.glob("version-*.json")
    file.write_text(file.read_text().replace(f'"{first.version}"', '"1.99.0"'))
    assert find_terraform(config, environ={"PATH": ""}, kept=kept).version == "1.99.0"
    file.write_text(file.read_text().replace('"value":', '"value":[],"old":'))
    assert find_terraform(config, environ={"PATH": ""}, kept=kept) == first


def test_the_version_of_a_script_may_be_another_one_each_time(site: Site, tmp_path: Path) -> None:
    config = with_binary(site, str(program(site.directory, "terraform", version="1.5.7")))
    assert find_terraform(config, environ={"PATH": ""}, kept=FactCache(tmp_path / "cache")).version == "1.5.7"
    program(site.directory, "terraform", version="1.9.0")
    assert find_terraform(config, environ={"PATH": ""}, kept=FactCache(tmp_path / "cache")).version == "1.9.0"
    assert not (tmp_path / "cache").exists()


def test_a_program_of_another_name_may_start_any_version(tmp_path: Path) -> None:
    (tmp_path / "mise").write_bytes(b"\x7fELF")
    (tmp_path / "terraform").write_bytes(b"\x7fELF")
    (tmp_path / "shim").mkdir()
    (tmp_path / "shim" / "terraform").symlink_to(tmp_path / "mise")
    keys = [program_key(TerraformCommand((str(path),), "", "")) for path in sorted(tmp_path.rglob("terraform"))]
    assert [key is None for key in keys] == [True, False]
