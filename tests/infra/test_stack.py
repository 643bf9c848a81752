"""The generated stack: the same bytes each time, formatted, self-contained, and careful with other people's files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.infra.generated_files import MANIFEST
from pio_tf.infra.root_module import render_stack, write_stack
from tests.support.deployments import deployment
from tests.support.site import PUBLIC_KEY, Site, terraform

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

EXISTING = 'vpc_id = "vpc-0aaa"\nsubnet_id = "subnet-0bbb"'
FULL_NETWORK = """\
cidr              = "127.77.7.0/24"
availability_zone = "us-east-1a"
public_ips        = true
ssh_cidrs         = ["192.0.2.0/24", "198.51.100.7/32"]
first_host        = 20
driver_eip        = true
"""
FULL_SPARK = """\
workers              = 12
master_instance_type = "m5.large"
ami                  = "ami-0abc"
home                 = "~/spark"
version              = "2.4.7"
download_url         = "s3://bucket/spark.tgz"
download_sha512      = "%s"
""" % ("0" * 128)


@pytest.fixture
def site(tmp_path: Path, mirror: Path) -> Site:
    return Site(directory=tmp_path, name="demo", url="http://127.0.0.1:1", mirror=mirror)


def with_tags(config: Config, **tags: str) -> Config:
    return config.model_copy(update={"cluster": config.cluster.model_copy(update={"tags": tags})})


def test_the_same_configuration_gives_the_same_bytes(site: Site) -> None:
    config = site.write(network=FULL_NETWORK, spark=FULL_SPARK)
    assert render_stack(with_tags(config, a="1", b="2")) == render_stack(with_tags(config, b="2", a="1"))


IGNORED = "      instance_type,\n      root_block_device[0].kms_key_id,\n"


@pytest.mark.parametrize(
    ("types", "spark", "ignored"),
    [
        ('instance_type = "r5.xlarge"', "", False),
        ('instance_types = ["r5.xlarge"]', "", False),
        ('instance_types = ["r5.xlarge", "r6i.xlarge"]', "", True),
        ('instance_type = "r5.xlarge"', 'master_instance_types = ["m5.large", "m6i.large"]', True),
        ("", "", True),
    ],
)
def test_terraform_leaves_types_alone_only_where_machines_may_have_several(
    site: Site, types: str, spark: str, ignored: bool
) -> None:
    files = render_stack(site.write(types=types, spark=spark))
    assert (IGNORED in files["modules/machine/main.tf"]) is ignored


def test_a_new_machine_gets_the_first_type_of_its_list(site: Site) -> None:
    types = 'instance_types = ["r5.xlarge", "r6i.xlarge"]'
    config = site.write(types=types, spark='master_instance_types = ["m5.large", "m6i.large"]')
    lines = [line.split() for line in render_stack(config)["terraform.tfvars"].splitlines() if "instance_type" in line]
    assert [(line[0], line[-1]) for line in lines] == [
        ("instance_type", '"r5.xlarge"'),
        ("instance_type", '"r5.xlarge"'),
        ("master_instance_type", '"m5.large"'),
    ]
    shared = site.write(types=types)
    assert "master_instance_type" not in render_stack(shared)["terraform.tfvars"]


@pytest.mark.parametrize(
    ("network", "spark"),
    [('cidr = "127.77.0.0/24"', "workers = 2"), (EXISTING, "workers = 1"), (FULL_NETWORK, FULL_SPARK)],
)
def test_the_stack_is_formatted_and_valid_in_plain_terraform(site: Site, network: str, spark: str) -> None:
    config = with_tags(site.write(network=network, spark=spark), team='${x} "quoted"', **{"cost:centre": "42"})
    directory = write_stack(config)
    environ = {"TF_CLI_CONFIG_FILE": str(site.mirror)}

    formatted = terraform("fmt", "-check", "-diff", "-recursive", cwd=directory)
    assert (formatted.returncode, formatted.stdout) == (0, "")
    assert terraform("init", cwd=directory, **environ).returncode == 0
    validated = terraform("validate", "-json", "-no-color", cwd=directory, **environ)
    assert '"warning_count": 0' in validated.stdout, validated.stdout
    assert validated.returncode == 0, validated.stdout


@pytest.mark.parametrize(
    ("addresses", "network", "runs"),
    [("fixed", 'cidr = "127.77.0.0/24"\nfirst_host = 10', 2), ("chosen", EXISTING, 1)],
)
def test_the_stack_gives_every_machine_the_script_of_its_role(
    site: Site, addresses: str, network: str, runs: int
) -> None:
    config = site.write(network=network, spark="workers = 2\nmaster_port = 7177\nmaster_ui_port = 8181")
    text = config.path.read_text().replace('hosts = ["es"]', 'hosts = ["es"]\n  cluster_name = "searches"')
    config.path.write_text(text.replace('key = "id"', 'key = "id"\n  user = "admin"'))
    directory = write_stack(load_config(config.path, environ={}))
    shutil.copy(Path(__file__).with_name(f"stack-{addresses}.tftest.hcl"), directory)
    environ = {"TF_CLI_CONFIG_FILE": str(site.mirror)}
    assert terraform("init", cwd=directory, **environ).returncode == 0

    result = terraform("test", "-no-color", cwd=directory, **environ)

    assert f"Success! {runs} passed, 0 failed" in result.stdout, result.stdout + result.stderr


def test_roles_profiles_and_backends_are_written_so_that_terraform_takes_them(site: Site) -> None:
    config = site.write()
    text = config.path.read_text().replace(
        '  region           = "us-east-1"\n',
        '  region           = "us-east-1"\n  profile = "team"\n  assume_role {\n'
        '    role_arn = "arn:aws:iam::123456789012:role/train"\n    external_id = "${x}"\n  }\n',
    )
    text = text.replace("$", "$$").replace(
        "terraform {\n",
        'terraform {\n  backend "s3" {\n    bucket = "states"\n    key = "demo.tfstate"\n    region = "us-east-1"\n'
        "    use_lockfile = true\n  }\n",
    )
    config.path.write_text(text)
    files = render_stack(load_config(config.path, environ={}))

    assert 'profile = "team"' in files["providers.tf"]
    assert 'external_id  = "$${x}"' in files["providers.tf"]
    assert 'backend "s3" {' in files["backend.tf"]
    assert "use_lockfile                = true" in files["backend.tf"]
    assert "assume_role = {\n" in files["backend.tf"]
    assert 'external_id  = "$${x}"' in files["backend.tf"]
    assert 'profile                     = "team"' in files["backend.tf"]
    directory = site.directory / "out"
    directory.mkdir()
    for name in ("providers.tf", "backend.tf", "versions.tf"):
        (directory / name).write_text(files[name])
    assert terraform("fmt", "-check", cwd=directory).returncode == 0
    (directory / "region.tf").write_text('variable "region" {\n  default = "us-east-1"\n}\n')
    environ = {"TF_CLI_CONFIG_FILE": str(site.mirror)}
    assert terraform("init", "-backend=false", cwd=directory, **environ).returncode == 0
    validated = terraform("validate", "-no-color", cwd=directory, **environ)
    assert validated.returncode == 0, validated.stdout + validated.stderr


def test_only_the_destroying_stack_is_without_protection_and_differs_in_nothing_else(site: Site) -> None:
    config = site.write()
    protected, unprotected = render_stack(config), render_stack(config, protect=False)

    assert sum(text.count("prevent_destroy = true") for text in protected.values()) >= 5
    assert not any("prevent_destroy = true" in text for name, text in unprotected.items() if name.endswith(".tf"))
    assert protected == {
        name: text.replace("prevent_destroy = false", "prevent_destroy = true") for name, text in unprotected.items()
    }


def test_only_what_differs_is_written(site: Site) -> None:
    directory = write_stack(site.write(spark="workers = 1"))
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}

    write_stack(site.write(spark="workers = 2"))

    after = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    assert [path.name for path in after if after[path] != before.get(path)] == ["terraform.tfvars"]


def test_what_is_no_longer_generated_goes_and_what_others_wrote_stays(site: Site) -> None:
    directory = write_stack(site.write())
    (directory / "modules" / "retired").mkdir()
    (directory / "modules" / "retired" / "main.tf").write_text("# of an older pio-tf\n")
    with (directory / MANIFEST).open("a") as manifest:
        manifest.write("modules/retired/main.tf\n../outside\n/etc/outside\n")
    (directory.parent / "outside").write_text("not in the stack")
    (directory / "mine.tf").write_text("# the user's own\n")

    write_stack(site.write())

    assert not (directory / "modules" / "retired").exists()
    assert (directory / "mine.tf").read_text() == "# the user's own\n"
    assert (directory.parent / "outside").exists()


def test_a_lock_file_beside_pio_tf_hcl_is_the_stack_s(site: Site) -> None:
    config = site.write()
    generated = deployment(config).generate() / ".terraform.lock.hcl"
    assert not generated.exists()
    generated.write_text("# as terraform init wrote it\n")
    deployment(config).generate()
    assert generated.read_text() == "# as terraform init wrote it\n"
    config.path.with_name(".terraform.lock.hcl").write_text("# committed\n")
    deployment(config).generate()
    assert generated.read_text() == "# committed\n"


def test_a_file_of_the_users_is_never_overwritten(site: Site) -> None:
    config = site.write()
    config.stack_dir.mkdir(parents=True)
    (config.stack_dir / "main.tf").write_text("# precious\n")

    with pytest.raises(ConfigError, match=r"holds files that pio-tf did not write: main\.tf"):
        write_stack(config)

    assert [path.name for path in config.stack_dir.iterdir()] == ["main.tf"]
    assert (config.stack_dir / "main.tf").read_text() == "# precious\n"


def test_a_missing_public_key_is_named_with_its_line_and_the_command_that_makes_it(site: Site) -> None:
    config = site.write()
    (site.directory / "id.pub").unlink()

    with pytest.raises(ConfigError) as caught:
        render_stack(config)

    assert caught.value.what.startswith("pio-tf.hcl:")
    assert f"ssh-keygen -y -f {site.directory / 'id'} > {site.directory / 'id.pub'}" in caught.value.next_step


def test_a_private_key_where_the_public_one_should_be_is_refused_and_not_shown(site: Site) -> None:
    config = site.write()
    (site.directory / "id.pub").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")

    with pytest.raises(ConfigError, match="not a public key") as caught:
        render_stack(config)

    assert "secret" not in str(caught.value)


def test_an_existing_key_pair_needs_no_public_key(site: Site) -> None:
    config = site.write()
    (site.directory / "id.pub").unlink()
    ssh = config.ssh.model_copy(update={"key_pair": "team"})

    files = render_stack(config.model_copy(update={"ssh": ssh}))

    assert 'key_pair = "team"' in files["terraform.tfvars"]
    assert "public_key" not in files["terraform.tfvars"]
    assert PUBLIC_KEY.split()[1] in render_stack(site.write())["terraform.tfvars"]


def test_without_an_image_canonicals_newest_is_looked_for(site: Site) -> None:
    text = render_stack(site.write())["terraform.tfvars"]
    assert text.count('owner = "099720109477"') == 2
    assert text.count("ubuntu-jammy-22.04-amd64-server-*") == 2


def test_the_workers_know_their_master_beforehand_where_addresses_are_fixed(site: Site) -> None:
    assert "cidrhost" in render_stack(site.write())["addresses.tf"]
    assert "master_private_ip" in render_stack(site.write(network=EXISTING))["addresses.tf"]
