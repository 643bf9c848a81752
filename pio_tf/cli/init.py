"""``pio-tf init``: a pio-tf.hcl, and the bucket of its state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.ci_output import can_ask
from pio_tf.cli.command import CommandCall, command
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.cli.output import Output
    from pio_tf.cli.results.stack import InitResult
    from pio_tf.cluster.first_config import FirstConfig
    from pio_tf.config.starter import Starter

_NAME = "pio-train"
_ACCESS = """\
How will pio-tf reach the driver?
  my-ip             its SSH port is open to this computer's public address
  10.0.8.0/24       … or to an address range, such as your VPN's or your bastion's
  ssm               through AWS Systems Manager: no open port, no public address
  instance-connect  through the VPC's EC2 Instance Connect Endpoint: no open port"""
_QUESTIONS: Mapping[str, str] = {
    "cluster": "Name of the cluster",
    "region": "AWS region",
    "vpc": "VPC of your services",
    "subnet": "Subnet of it that reaches the internet",
    "access": "Access",
    "elasticsearch": "Elasticsearch hosts",
    "hbase": "HBase hosts",
    "hdfs": "HDFS name node",
    "engine_dir": "Engine's directory on the prediction server",
}
"""The questions at a terminal, by the answer's name."""


@command(config=False)
def init(
    call: CommandCall,
    name: Annotated[str | None, typer.Argument(help="Name of the cluster.", show_default=_NAME)] = None,
    region: Annotated[
        str | None,
        typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region.", show_default="us-east-1"),
    ] = None,
    vpc: Annotated[str | None, typer.Option(metavar="ID", help="VPC of your services.")] = None,
    subnet: Annotated[str | None, typer.Option(metavar="ID", help="Subnet of it, for the machines.")] = None,
    access: Annotated[
        str | None,
        typer.Option(
            metavar="WAY",
            help="Way to the driver: my-ip, an address range, ssm or instance-connect.",
            show_default="my-ip",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Private SSH key.", show_default="the first in ~/.ssh")
    ] = None,
    elasticsearch: Annotated[
        str | None, typer.Option(metavar="HOSTS", help="Elasticsearch hosts, with commas between them.")
    ] = None,
    hbase: Annotated[str | None, typer.Option(metavar="HOSTS", help="HBase hosts.")] = None,
    hdfs: Annotated[str | None, typer.Option(metavar="HOST", help="HDFS name node.")] = None,
    engine_dir: Annotated[
        str | None, typer.Option(metavar="PATH", help="Engine's directory on the prediction server.")
    ] = None,
    from_aws: Annotated[
        bool,
        typer.Option("--from-aws", help="Take networks, services, keys and types from your AWS account, read-only."),
    ] = False,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="Profile in the AWS configuration files.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: write examples to edit.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Write every option, with a comment, and ask nothing.")] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Write it for the running sandbox instead of AWS.")
    ] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Directory to write pio-tf.hcl to.")] = Path(),
    backend: Annotated[
        bool,
        typer.Option(
            "--backend",
            help="Create the S3 bucket of the state, if it is missing, and name it in pio-tf.hcl. An existing "
            "pio-tf.hcl is not changed: pio-tf shows what to add.",
        ),
    ] = False,
    bucket: Annotated[
        str | None,
        typer.Option(
            metavar="s3://BUCKET",
            help="Use this bucket. Implies --backend.",
            show_default="pio-tf-state-<account>-<region>",
        ),
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror",
            help="Let machines install their software from this bucket, which `pio-tf mirror push` fills. Implies "
            "--backend.",
        ),
    ] = False,
) -> None:
    """Write a pio-tf.hcl to begin with.

    At a terminal, pio-tf asks what no option answers; Enter accepts what stands in brackets.
    """
    from pio_tf.cli.results.stack import InitResult
    from pio_tf.config.load import CONFIG_NAME, load_config

    path = directory / CONFIG_NAME
    answers = {
        "vpc": vpc,
        "subnet": subnet,
        "access": access,
        "key": key,
        "elasticsearch": elasticsearch,
        "hbase": hbase,
        "hdfs": hdfs,
        "engine_dir": engine_dir,
        "profile": profile,
    }
    given = [f"--{one.replace('_', '-')}" for one, value in {**answers, "from_aws": from_aws}.items() if value]
    if given and (full or sandbox):
        which = "--full" if full else "--sandbox"
        raise ConfigError(
            f"{which} and {', '.join(given)} contradict each other",
            next_step=f"leave {which} out; or edit {path} afterwards",
        )
    cluster = name or _NAME
    if (backend or bucket or mirror) and name is None and not sandbox and path.exists():
        call.show(_add_backend(call.output, path, bucket, mirror=mirror, is_new=False))
        return
    if sandbox:
        from pio_tf.sandbox.control import default_directory, running_sandbox
        from pio_tf.sandbox.project import prepare_project

        path = prepare_project(directory, running_sandbox(default_directory()), cluster=cluster)
    else:
        from pio_tf.config.template import refuse_existing, render_template, write_new

        refuse_existing(path)  # before the questions
        if full:
            text = render_template(cluster=cluster, region=region or "us-east-1")
        else:
            from pio_tf.config.starter import render_starter

            answers |= {"cluster": name, "region": region}
            text = render_starter(_answered(call.output, answers, ask=not yes and can_ask(), from_aws=from_aws))
        path = write_new(directory, text)
    call.output.done(f"wrote {path}")
    if backend or bucket or mirror:
        result = _add_backend(call.output, path, bucket, mirror=mirror, is_new=True)
    else:
        result = InitResult(file=path, cluster=load_config(path).cluster.name, bucket=None)
    edits = "" if sandbox or "EDIT" not in path.read_text(encoding="utf-8") else f"edit the EDIT lines of {path}, then "
    fill = "pio-tf mirror push, then " if mirror else ""
    call.output.say(f"next: {edits}{fill}pio-tf {'up' if sandbox else 'plan'}")
    call.show(result)


def _answered(output: Output, answers: dict[str, str | None], *, ask: bool, from_aws: bool) -> Starter:
    """Return the answers that options give, that the account has, and that a person at a terminal types."""
    from pio_tf.aws.session import configured_region
    from pio_tf.config.starter import Starter

    base = Starter(key=first_key())
    first: FirstConfig | None = None
    if from_aws and not answers["region"]:
        answers["region"] = configured_region(answers["profile"])
    for name in _QUESTIONS:
        if name == "vpc" and from_aws:
            first = _read_account(output, base.with_answers(answers))
        if ask and not answers[name]:
            output.pause()
            starter = first.propose(base, answers) if first else base.with_answers(answers)
            answer = _ask(
                output, name, starter, [_ACCESS] if name == "access" else first.choices(name, starter) if first else []
            )
            answers[name] = answer if answer != getattr(starter, name) else None
    return first.propose(base, answers) if first else base.with_answers(answers)


def _ask(output: Output, name: str, starter: Starter, choices: list[str]) -> str:
    from pio_tf.config.starter import EXAMPLES, check_answer

    output.ask(choices)
    default = getattr(starter, name)
    shown = "edit it later" if default == EXAMPLES.get(name) else default

    def read(value: str) -> str:
        try:
            return check_answer(name, value)
        except ConfigError as error:
            raise typer.BadParameter(error.what) from None

    answer: str = typer.prompt(
        f"{_QUESTIONS[name]} [{shown}]", default=default, show_default=False, err=True, value_proc=read
    )
    return answer


def _read_account(output: Output, starter: Starter) -> FirstConfig:
    from pio_tf.aws.session import Aws
    from pio_tf.cluster.first_config import TYPES, FirstConfig
    from pio_tf.config.starter import load_starter
    from pio_tf.machines.account import read_account

    return FirstConfig(read_account(Aws(load_starter(starter)).client, TYPES, reporter=output.reporter))


def first_key() -> str:
    """Return the first private key, in OpenSSH's order, that has its public half beside it."""
    names = ("id_ed25519", "id_ecdsa", "id_rsa")
    there = (one for one in names if Path("~/.ssh", f"{one}.pub").expanduser().exists())
    return f"~/.ssh/{next(there, names[0])}"


def _add_backend(output: Output, path: Path, bucket: str | None, *, mirror: bool, is_new: bool) -> InitResult:
    """Create the bucket of the state if it is missing; name it in a new pio-tf.hcl, or say what to add to another."""
    from pio_tf.cli.results.stack import InitResult
    from pio_tf.config.load import load_config
    from pio_tf.config.template import mirror_lines, with_backend, with_mirror
    from pio_tf.infra.backend.state_bucket import prepare_bucket

    config = load_config(path)
    found = prepare_bucket(config, bucket, reporter=output.reporter)
    block, place = found.block(config), f"s3://{found.name}/software"
    if mirror and found.region != config.aws.region:
        raise ConfigError(
            f"the bucket {found.name} is in {found.region}, and can't be a mirror for machines in {config.aws.region}",
            cause="machines read a mirror in S3 in their own region",
            next_step="leave --mirror out, and name a bucket of that region in software.mirrors",
        )
    if is_new:
        text = with_backend(path.read_text(encoding="utf-8"), block)
        path.write_text(with_mirror(text, place) if mirror else text, encoding="utf-8")
    elif config.terraform.backend is None:
        output.say(
            f"next: add this to the terraform block of {path}; the next command moves the state there\n\n{block}"
        )
    if mirror and not is_new and place not in config.software.mirrors:
        lines = "\n".join(f"{name} {{\n{line}}}" for name, line in mirror_lines(place).items())
        output.say(
            f"next: add this to {path}, then run `pio-tf mirror push`; machines that exist stay as they are\n\n{lines}"
        )
    return InitResult(file=path, cluster=config.cluster.name, bucket=found.name)
