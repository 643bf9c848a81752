"""The Packer template that bakes an image, and what machines made of one find and do."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.infra.bootstrap import render_image, render_script, write_image
from tests.infra.first_boot import Machine, Mirror, serve
from tests.support.provider_scripts import TERRAFORM
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.model import Role

TEMPLATE, VARIABLES = "pio-tf.pkr.hcl", "pio-tf.auto.pkrvars.hcl"
FULL_AWS = """\
region           = "us-east-1"
  profile          = "team"
  assume_role {
    role_arn    = "arn:aws:iam::123456789012:role/bake"
    external_id = "${x}"
  }"""


def parse(text: str) -> dict[str, Any]:
    """Parse HCL into plain data."""
    return hcl2.loads(text, serialization_options=SerializationOptions(strip_string_quotes=True))


def declared(template: str) -> dict[str, dict[str, Any]]:
    """Return the variables of the template."""
    return {name: body for block in parse(template)["variable"] for name, body in block.items()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(directory=tmp_path, name="demo", url="http://127.0.0.1:1", mirror=tmp_path)


def with_everything(site: Site) -> Config:
    """Return a configuration that gives every variable of the template a value."""
    config = site.write(network='vpc_id = "vpc-0aaa"\nsubnet_id = "subnet-0bbb"')
    text = config.path.read_text().replace('region           = "us-east-1"', FULL_AWS.replace("$", "$$"))
    text = text.replace('name = "demo"', 'name = "demo"\n  tags = { "team" = "recommendations" }')
    config.path.write_text(text.replace("driver {", 'driver {\n  ami = "ami-0123456789abcdef0"'))
    return load_config(config.path, environ={})


def test_the_template_is_hcl_that_builds_one_image_with_the_script(site: Site) -> None:
    template = parse(render_image(site.write())[TEMPLATE])
    (build,) = template["build"]
    assert build["sources"] == ["source.amazon-ebs.machine"]
    assert "machine" in template["source"][0]["amazon-ebs"]
    scripts = [one["shell"]["script"] for one in build["provisioner"] if "script" in one["shell"]]
    assert scripts == ["${path.root}/bootstrap.sh"]


@pytest.mark.parametrize("name", [TEMPLATE, VARIABLES])
def test_its_files_are_formatted(site: Site, name: str) -> None:
    text = render_image(with_everything(site))[name]
    done = subprocess.run([TERRAFORM, "fmt", "-"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, text), done.stderr


def test_every_variable_is_typed_described_and_used_and_no_other_is() -> None:
    from pio_tf.infra.bootstrap import _TEMPLATE

    text = (_TEMPLATE / TEMPLATE).read_text()
    variables = declared(text)
    assert [name for name, body in variables.items() if not {"type", "description"} <= body.keys()] == []
    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(variables)


def test_every_variable_without_a_default_gets_a_value(site: Site) -> None:
    files = render_image(site.write())
    required = {name for name, body in declared(files[TEMPLATE]).items() if "default" not in body}
    assert required <= parse(files[VARIABLES]).keys()


def test_what_a_configuration_says_becomes_the_variables_and_nothing_else_does(site: Site) -> None:
    files = render_image(with_everything(site))
    values = parse(files[VARIABLES])
    values.pop("__comments__", None)
    assert values.keys() == declared(files[TEMPLATE]).keys()
    assert values["source_ami"] == "ami-0123456789abcdef0"
    assert (values["role_arn"], values["vpc_id"]) == ("arn:aws:iam::123456789012:role/bake", "vpc-0aaa")
    assert values["tags"] == {"team": "recommendations"}
    assert 'external_id   = "$${x}"' in files[VARIABLES], "text is text, also for Packer"


def test_an_image_is_never_tagged_as_a_machine_of_a_cluster(site: Site) -> None:
    files = render_image(with_everything(site))
    assert "pio-tf:" not in re.sub(r"#.*", "", files[TEMPLATE] + files[VARIABLES])


def test_an_image_of_ones_own_is_not_what_the_next_one_begins_with(site: Site) -> None:
    config = site.write()
    text = config.path.read_text().replace(
        "driver {", 'driver {\n  ami_filter {\n    owner = "self"\n    name = "pio-tf-demo-*"\n  }'
    )
    config.path.write_text(text)
    values = parse(render_image(load_config(config.path, environ={}))[VARIABLES])
    assert values["source_owner"] == "099720109477"
    assert "ubuntu" in values["source_name"]


def test_the_script_has_all_that_any_machine_installs_and_no_address_of_a_cluster(site: Site) -> None:
    script = render_image(site.write())["bootstrap.sh"]
    head = script.partition("set -euo pipefail")[0]
    assert "ROLE='driver'" in head
    assert "HOSTS=''" in head
    for name in ("spark", "hadoop", "hbase", "elasticsearch", "pio"):
        assert re.search(rf"^(COMPONENTS=')?{name}\t", head, re.MULTILINE), name


BAKED = 'driver {\n  ami_filter {\n    owner = "self"\n    name  = "pio-tf-demo-*"\n  }'


@pytest.mark.parametrize("driver", ["driver {", BAKED])
def test_an_image_whose_predictionio_its_spark_cannot_run_is_refused(site: Site, driver: str) -> None:
    config = site.write(spark='version = "2.4.8"')
    config.path.write_text(config.path.read_text().replace("driver {", driver))
    with pytest.raises(ConfigError, match=r"is built for Spark 2\.1\.3, and does not run on Spark 2\.4\.8"):
        render_image(load_config(config.path, environ={}))


def test_an_image_made_of_ones_own_may_have_another_predictionio(site: Site) -> None:
    config = site.write(spark='version = "2.4.8"')
    own = 'driver {\n  ami = "ami-0123456789abcdef0"'
    config.path.write_text(config.path.read_text().replace("driver {", own))
    render_image(load_config(config.path, environ={}))


def test_foreign_files_are_not_overwritten(site: Site) -> None:
    directory = site.directory / "packer"
    directory.mkdir()
    (directory / TEMPLATE).write_text("# mine\n")
    with pytest.raises(ConfigError, match="holds files that pio-tf did not write") as caught:
        write_image(site.write(), directory)
    assert caught.value.next_step == "choose another --out, or move those files away"
    assert (directory / TEMPLATE).read_text() == "# mine\n"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with serve(tmp_path / "mirror") as url:
        yield Mirror(tmp_path / "mirror", url)


@pytest.fixture
def machine(tmp_path: Path, mirror: Mirror) -> Machine:
    return Machine(tmp_path, mirror)


@pytest.mark.parametrize("role", ["driver", "worker"])
def test_a_machine_of_the_image_fetches_nothing(machine: Machine, mirror: Mirror, role: Role) -> None:
    parts = tuple(mirror.component(*one) for one in (("spark", "2.4.8"), ("hadoop", "2.7.7"), ("pio", "0.14.0")))
    image = machine.script(machine.settings("driver", components=parts, hosts={}), "bootstrap.sh")
    user_data = machine.script(machine.settings(role, components=parts))
    away = f"rm {mirror.directory}/*"

    done = machine.run(f"{image} image\n{away}\n{user_data}\ncat /var/lib/pio-tf/ready.json")

    assert done.returncode == 0, done.stdout + done.stderr
    first, _, later = done.stdout.partition("this image is ready")
    assert "step downloads: 3 downloaded" in first
    assert "step downloads: 0 downloaded" in later
    ready = json.loads(later.splitlines()[-1])
    assert (ready["role"], ready["versions"]["spark"]) == (role, "2.4.8")


def test_nothing_of_the_machine_that_it_was_baked_on_is_left_in_an_image(machine: Machine) -> None:
    settings = machine.settings("driver")
    user_data, image = machine.script(settings), machine.script(settings, "bootstrap.sh")
    left = "ls /etc/systemd/system /usr/local/sbin /var/lib/pio-tf /var/log /etc/pio-tf; cat /etc/hosts"

    before = machine.run(f"{user_data}\n{left}")
    after = machine.run(f"{user_data}\n{image} image >&2\n{left}")

    assert before.returncode == after.returncode == 0, before.stderr + after.stderr
    for name in ("pio-tf-bootstrap.service", "pio-tf-boot.service", "ready.json", "bootstrapped", "spark-master"):
        assert name in before.stdout
        assert name not in after.stdout
    assert "pio-tf.log" in before.stdout
    assert not re.search(r"^(pio-tf\.log|pio-tf-bootstrap|hosts)$", after.stdout, re.MULTILINE)
    assert "systemctl disable --now pio-tf-boot.service" in machine.systemctl


def test_an_image_needs_no_other_script_than_a_machine(machine: Machine) -> None:
    settings = machine.settings("driver")
    assert "image) prepare_image" in render_script(settings)
    done = machine.run(f"{machine.script(settings)} picture")
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "image" in done.stderr
