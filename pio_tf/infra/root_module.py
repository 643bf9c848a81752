"""The stack: a self-contained Terraform root module, generated from a cluster's configuration.

Root files and modules are copied; terraform.tfvars, providers.tf and backend.tf are generated. Plain Terraform can
apply the stack without pio-tf.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.config.blocks import AmiFilter
from pio_tf.config.components import archives_in_s3, components, find_elasticsearch
from pio_tf.config.egress import parse_egress
from pio_tf.config.hcl_writer import Expression, Value, attributes, block, quote
from pio_tf.config.roles import role_of
from pio_tf.errors import ConfigError, PioTfError
from pio_tf.infra.backend.s3 import s3_backend
from pio_tf.infra.extra_bootstrap import read_extra_bootstrap
from pio_tf.infra.generated_files import write_files
from pio_tf.infra.guard import adopted_address
from pio_tf.model import SCHEDULED_TAG

if TYPE_CHECKING:
    from pio_tf.config.blocks import MachineBlock
    from pio_tf.config.schema import Config
    from pio_tf.config.type_lists import TypeList

_HERE = Path(__file__).parent
_ROOT = _HERE / "root"
_ROOT_ADOPTED = _HERE / "root_adopted"
MODULES = (
    "adopted-machine",
    "bootstrap",
    "driver",
    "failsafe",
    "machine",
    "network",
    "profile",
    "security",
    "spark-cluster",
)
_ADOPTED_MODULES = ("adopted-machine", "failsafe")
_NEW_MODULES = tuple(name for name in MODULES if name != "adopted-machine")
_DAY = 86400
_SERVICES = ("cloudwatch", "cloudwatchevents", "ec2", "iam", "ssm", "sts")
"""AWS services that the stack calls."""
_PROVIDERS = ">= 3.39, < 7.0"
"""Versions of the AWS provider that the modules are for."""
_TERRAFORM = ">= 1.3"
_IMPORTING = ">= 1.5"
"""The first Terraform with import blocks."""
_PROTECTED = "prevent_destroy = true"
_UNPROTECTED = "prevent_destroy = false"
_LAST_IGNORED = "      root_block_device[0].kms_key_id,\n"
_DISK_TAGS = "      root_block_device[0].tags,\n"
_TYPE = "      instance_type,\n"
_METADATA = "      metadata_options,\n"
_HEADER = "# Written by pio-tf from {source}: change that file, not this one.\n\n"


def render_stack(config: Config, *, protect: bool = True) -> dict[str, str]:
    """Return the stack's files: relative path to text. The same configuration gives the same bytes.

    Args:
        protect: False leaves out ``prevent_destroy``: for ``destroy`` only.

    Raises:
        ConfigError: ssh.key has no public half, and no ssh.key_pair is given.
    """
    header = _HEADER.format(source=config.path.name)
    root = _ROOT_ADOPTED if config.adopted else _ROOT
    files = {name: header + _read(root / name) for name in ("main.tf", "outputs.tf", "variables.tf")}
    files["versions.tf"] = header + _read(_ROOT / "versions.tf")
    if config.adopted:
        files["versions.tf"] = files["versions.tf"].replace(quote(_TERRAFORM), quote(_IMPORTING))
        if protect:  # an import in a plan to destroy would be destroyed with the rest
            files["imports.tf"] = header + _imports(config)
    else:
        addresses = "chosen" if config.first_host is None else "fixed"
        files["addresses.tf"] = header + _read(_ROOT / f"addresses-{addresses}.tf")
    files["providers.tf"] = header + _provider(config)
    files["versions.tf"] = files["versions.tf"].replace(quote(_PROVIDERS), quote(_provider_versions(config)))
    files["terraform.tfvars"] = header + attributes(stack_variables(config))
    files["README.md"] = _readme(config)
    files[".gitignore"] = _read(_ROOT / "gitignore")
    if config.terraform.backend is not None:
        files["backend.tf"] = header + _backend(config)
    modules = find_modules()
    for module in _ADOPTED_MODULES if config.adopted else _NEW_MODULES:
        for source in sorted((modules / module).iterdir()):
            if source.suffix in (".tf", ".sh", ".md"):
                text = _read(source)
                if config.aws.ignore_tags.names_any or config.machines.tag_disks_at_launch:
                    # The provider ignores no tags of disks: https://github.com/hashicorp/terraform-provider-aws/issues/33806
                    text = text.replace(_LAST_IGNORED, _LAST_IGNORED + _DISK_TAGS)
                if config.has_spare_types:  # pio-tf changes the types, on stopped machines
                    text = text.replace(_LAST_IGNORED, _TYPE + _LAST_IGNORED)
                if config.schedule is not None:  # the driver may read its tags: provider 3 has no argument for that
                    text = text.replace(_LAST_IGNORED, _METADATA + _LAST_IGNORED)
                files[f"modules/{module}/{source.name}"] = text if protect else text.replace(_PROTECTED, _UNPROTECTED)
    return files


def stack_sums(config: Config) -> dict[str, str]:
    """Return the stack's files, each with its SHA-256.

    Raises:
        ConfigError: as for :func:`render_stack`.
    """
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(render_stack(config).items())}


def write_stack(config: Config, *, protect: bool = True) -> Path:
    """Write the stack into ``config.stack_dir``, each file atomically, if it differs. Return the directory.

    Files that only an earlier stack had are removed; files that pio-tf did not write are left alone.

    Raises:
        ConfigError: as for :func:`render_stack`; or pio-tf did not write a file that it would overwrite.
    """
    directory = config.stack_dir
    write_files(directory, render_stack(config, protect=protect), named=config.where("terraform.directory"))
    return directory


def find_modules() -> Path:
    """Return the directory of Terraform's modules, in an installed package or in a checkout.

    Raises:
        PioTfError: neither has them.
    """
    for directory in (_HERE / "modules", _HERE.parents[1] / "terraform" / "modules"):
        if (directory / "machine" / "main.tf").is_file():
            return directory
    raise PioTfError(
        "pio-tf's Terraform modules are missing",
        cause=f"neither {_HERE / 'modules'} nor a checkout's terraform/modules exists",
        next_step="install pio-tf again",
    )


def public_key_file(config: Config) -> Path:
    """Return the path of the public half of ssh.key: the same name with ``.pub``."""
    key = config.path.parent / config.ssh.key.expanduser()
    return key.with_name(f"{key.name}.pub")


def stack_variables(config: Config) -> dict[str, Value]:
    """Return the values in terraform.tfvars.

    Raises:
        ConfigError: as for :func:`render_stack`.
    """
    variables: dict[str, Value] = {
        "cluster": config.cluster.name,
        "region": config.aws.region,
        "tags": dict(sorted(config.cluster.tags.items())),
        "failsafe": _failsafe(config),
    }
    if config.adopted:
        machines: dict[str, Value] = {
            name: {"id": one, "role": role_of(name)} for name, one in config.machines.ids.items()
        }
        return {**variables, "machines": machines}
    network, spark = config.network, config.spark
    search = find_elasticsearch(config)
    return {
        **variables,
        "network": {
            "cidr": str(network.cidr) if network.cidr is not None else None,
            "availability_zone": network.availability_zone,
            "vpc_id": network.vpc_id,
            "subnet_id": network.subnet_id,
            "public_ips": network.public_ips,
            "ssh_cidrs": [str(cidr) for cidr in config.ssh_cidrs],
            "ssh_security_group_ids": network.ssh_security_group_ids,
            "security_group_ids": network.security_group_ids,
            "destinations": [_destination(one) for one in dict.fromkeys(network.egress)],
            "first_host": config.first_host,
            "driver_eip": network.driver_eip,
        },
        "ssh": {
            "user": config.ssh.user,
            "port": config.ssh.port,
            "key_pair": config.ssh.key_pair,
            "public_key": _public_key(config) if config.ssh.key_pair is None else None,
        },
        "driver": _machine(config.driver, config.types("driver")),
        "spark": {
            "workers": spark.workers,
            **_machine(spark, config.types("worker")),
            "master_instance_type": _of_its_own(config.types("master"), config.types("worker")),
            "master_port": spark.master_port,
            "master_ui_port": spark.master_ui_port,
        },
        "machines": {
            "kms_key_id": config.machines.kms_key_id,
            "termination_protection": config.machines.termination_protection,
            "disk_tags_at_launch": _disk_tags(config) if config.machines.tag_disks_at_launch else None,
        },
        "profile": {
            "name": config.machines.instance_profile,
            "make": config.machines.make_instance_profile,
            "archives": list(archives_in_s3(config)),
            "topic_arns": [config.notify.sns_topic] if config.notify.sns_topic else [],
            "sessions": config.ssh.via == "ssm",
        },
        "software": {
            "user": config.software.user,
            "elasticsearch_name": search.cluster_name if search is not None else None,
            "http_proxy": config.software.http_proxy,
            "https_proxy": config.software.https_proxy,
            "no_proxy": config.software.no_proxy,
            "extra_bootstrap": read_extra_bootstrap(config),
            "components": [
                {name: getattr(one, name) for name in ("name", "version", "home", "sha512", "urls")}
                for one in components(config)
            ],
        },
    }


def _failsafe(config: Config) -> dict[str, Value]:
    failsafe = config.failsafe
    return {
        "make_role": failsafe.role and failsafe.role_arn is None,
        "role_arn": failsafe.role_arn,
        "make_schedule_role": config.schedule is not None and config.schedule.role_arn is None,
        "schedule_role_arn": config.schedule.role_arn if config.schedule is not None else None,
        "role_path": failsafe.role_path,
        "permissions_boundary": failsafe.permissions_boundary,
        "topic_arn": config.notify.sns_topic if "deadline" in config.notify.on else None,
        "idle_after": failsafe.idle_after if failsafe.idle_alarms else None,
        "master_idle_after": _master_idle_after(config) if failsafe.idle_alarms else None,
    }


def _imports(config: Config) -> str:
    """Return the blocks that take the machines into the state. Terraform ignores those of machines that are there."""
    return "\n".join(
        block("import", {"to": Expression(adopted_address(name)), "id": one})
        for name, one in config.machines.ids.items()
    )


def _disk_tags(config: Config) -> dict[str, Value]:
    """Return the tags of root disks, beside those of their machines. The provider adds its default tags to none."""
    return dict(sorted({**config.aws.default_tags, **config.cluster.tags}.items()))


def _destination(text: str) -> dict[str, Value]:
    rule = parse_egress(text)
    first, last = rule.ports or (None, None)
    return {
        "cidr": None if rule.is_prefix_list else rule.to,
        "prefix_list_id": rule.to if rule.is_prefix_list else None,
        "from_port": first,
        "to_port": last,
    }


def _master_idle_after(config: Config) -> int:
    """Return the seconds, in whole hours, after which the alarm stops an idle Spark master.

    A master looks idle to EC2's metrics while others train: its alarm must take longer than any run, and an hour more
    for its start.
    """
    longest_run = -(-config.train.max_runtime // 3600) * 3600
    return max(_DAY, longest_run + 3600)


def _of_its_own(master: TypeList, worker: TypeList) -> str | None:
    return None if master == worker else master.first


def _machine(one: MachineBlock, types: TypeList) -> dict[str, Value]:
    image = (one.ami_filter or AmiFilter()) if one.image_option in ("ami_filter", "") else None
    return {
        "instance_type": types.first,
        "root_volume_gib": one.root_volume_gib,
        "ami": one.ami,
        "ami_parameter": one.ami_parameter,
        "ami_filter": {"owner": image.owner, "name": image.name} if image else None,
        "disks": {
            "root": {name: getattr(one, f"root_volume_{name}") for name in ("type", "iops", "throughput")},
            "scratch": None if one.scratch_volume is None else one.scratch_volume.model_dump(),
        },
    }


def _public_key(config: Config) -> str:
    file, where = public_key_file(config), config.where("ssh.key")
    write = f"`ssh-keygen -y -f {file.with_suffix('')} > {file}`"
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{where}: ssh.key: its public half {file} cannot be read",
            cause=getattr(error, "strerror", None) or "it is not text",
            next_step=f"make one with {write}, a new pair with `ssh-keygen -t ed25519 -f {file.with_suffix('')}`, or "
            "name an existing EC2 key pair in ssh.key_pair",
        ) from error
    if len(text.splitlines()) != 1 or not text.startswith(("ssh-", "ecdsa-")):
        raise ConfigError(
            f"{where}: ssh.key: {file} is not a public key in OpenSSH's format",
            cause="it must be one line that begins with ssh-ed25519, ssh-rsa or ecdsa-sha2-…",
            next_step=f"write it with {write}",
        )
    return text


def _provider_versions(config: Config) -> str:
    wanted = config.terraform.aws_provider_version
    return _PROVIDERS if wanted is None else f"{_PROVIDERS}, {wanted}"


def _provider(config: Config) -> str:
    aws = config.aws
    named = {"region": Expression("var.region"), "profile": aws.profile}
    parts = [attributes({**named, "allowed_account_ids": aws.allowed_account_ids or None}, indent=2)]
    if aws.default_tags:
        parts.append(block("default_tags", {"tags": dict(sorted(aws.default_tags.items()))}, indent=2))
    ignored = {name: value for name, value in aws.ignore_tags.model_dump().items() if value}
    if config.schedule is not None:  # EventBridge Scheduler sets it
        ignored["keys"] = [*ignored.get("keys", []), SCHEDULED_TAG]
    if ignored:
        parts.append(block("ignore_tags", ignored, indent=2))
    if aws.assume_role is not None:
        role = aws.assume_role
        values = {"role_arn": role.role_arn, "session_name": role.session_name, "external_id": role.external_id}
        parts.append(block("assume_role", values, indent=2))
    if aws.endpoint_url is not None:
        checks = ["skip_credentials_validation", "skip_metadata_api_check"]
        if not aws.allowed_account_ids:
            checks.append("skip_requesting_account_id")
        parts.append(attributes(dict.fromkeys(checks, True), indent=2))
        parts.append(block("endpoints", dict.fromkeys(_SERVICES, aws.endpoint_url.rstrip("/")), indent=2))
    return 'provider "aws" {\n' + "\n".join(parts) + "}\n"


def _backend(config: Config) -> str:
    backend = config.terraform.backend
    assert backend is not None  # noqa: S101 - the caller has checked
    s3 = s3_backend(config)
    arguments = s3.arguments if s3 is not None else dict(sorted(backend.arguments.items()))
    return "terraform {\n" + block(f"backend {quote(backend.type)}", arguments, indent=2) + "}\n"


def _readme(config: Config) -> str:
    text = _read(_ROOT / "README.md").format(cluster=config.cluster.name, source=config.path.name)
    if config.aws.credentials_file is not None:
        variable = "AWS_SHARED_CREDENTIALS_FILE"
        text += f"\nwith {variable} set to the file that {config.path.name} names in aws.credentials_file.\n"
    s3 = s3_backend(config)
    if s3 is not None:
        text += f"\nThe state is kept at {s3.url}; terraform.backend in {config.path.name} says so.\n"
    if config.terraform.backend is None:
        text += "\nThe state is kept here, in `terraform.tfstate`: do not lose it, and do not commit it.\n"
    return text


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
