"""``pio-tf adopt``: machines that exist already become a cluster."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from pio_tf.cli.ci_output import can_ask
from pio_tf.cli.command import CommandCall, command
from pio_tf.cli.init import first_key
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pio_tf.cli.output import Output
    from pio_tf.cluster.adoption import Adoption, Look, Proposal
    from pio_tf.config.hcl_writer import Value
    from pio_tf.infra.plan import Plan
    from pio_tf.machines.existing import Choice

_NAME = "pio-train"
_TAG = "aws_ec2_tag"


@command(config=False)
def adopt(
    call: CommandCall,
    name: Annotated[str, typer.Argument(help="Name of the cluster.")] = _NAME,
    power_only: Annotated[
        bool,
        typer.Option("--power-only", help="Start, use and stop the machines by their ids, without Terraform."),
    ] = False,
    driver: Annotated[
        list[str] | None, typer.Option("--driver", metavar="ID", help="Instance that runs `pio train`.")
    ] = None,
    master: Annotated[
        list[str] | None, typer.Option("--master", metavar="ID", help="Instance of Spark's master.")
    ] = None,
    worker: Annotated[
        list[str] | None, typer.Option("--worker", metavar="ID", help="Instance of a Spark worker. May be repeated.")
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Take all instances with this tag: driver and master by their Name, the others as workers.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region.", show_default="the profile's"),
    ] = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="Profile in the AWS configuration files.")] = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="SSH user on the machines.")] = "ubuntu",
    key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Private SSH key.", show_default="the first in ~/.ssh")
    ] = None,
    engine_dir: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Engine's directory on the driver.", show_default="the one with an engine.json"
        ),
    ] = None,
    pio_home: Annotated[
        str | None, typer.Option(metavar="PATH", help="PIO_HOME on the driver.", show_default="where it is found")
    ] = None,
    spark_home: Annotated[
        str | None, typer.Option(metavar="PATH", help="SPARK_HOME on every machine.", show_default="where it is found")
    ] = None,
    start_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Command that starts Spark on the master.",
            show_default="Spark's start-all.sh, if no unit does",
        ),
    ] = None,
    role_arn: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="Existing role with which AWS stops the machines at their deadline.",
            show_default="a new one",
        ),
    ] = None,
    no_role: Annotated[
        bool, typer.Option("--no-role", help="Make no role: machines start with --no-deadline only.")
    ] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="The instances are those of the running sandbox.")] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Directory to write pio-tf.hcl to.")] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Make a cluster of machines that exist already.

    Looks at the instances and, over SSH, at what is installed on those that run. Shows the pio-tf.hcl that it would
    write and what Terraform would do with it, and asks before it writes. It changes nothing on the machines.
    """
    from pio_tf.cli.results.stack import AdoptResult
    from pio_tf.cluster.adoption import Adoption, Homes
    from pio_tf.config.adopted import AdoptedCluster
    from pio_tf.config.load import CONFIG_NAME
    from pio_tf.config.template import refuse_existing
    from pio_tf.machines.existing import Choice

    if role_arn and no_role:
        raise ConfigError("--role-arn and --no-role contradict each other", next_step="leave one of them out")
    path = directory / CONFIG_NAME
    if not dry_run:
        _refuse_power_only(path, power_only=power_only)
        refuse_existing(path)
    asks = can_ask() and not yes
    aws, ssh, terraform = _sandbox() if sandbox else (_account(region, profile), {}, {})
    cluster = AdoptedCluster(
        name=name,
        aws=aws,
        ids={},
        ssh={"user": user, "key": key or first_key(), **ssh},
        engine_dir="~/engine",
        role_arn=role_arn or "",
        role=not no_role,
        terraform=None if power_only else terraform,
    )
    homes = Homes(engine_dir or "", pio_home or "", spark_home or "", start_command or "")
    adoption = Adoption(cluster, homes, path, os.environ, call.output.reporter, attended=can_ask())
    choice = Choice(tuple(driver or ()), tuple(master or ()), tuple(worker or ()))
    if asks and not tag:
        choice = _ask_for_missing(call.output, adoption, choice)
    look = adoption.look(choice, tag=tag or "")
    if asks and engine_dir is None and len(look.engines) != 1:
        adoption = replace(adoption, homes=replace(homes, engine_dir=_ask_for_engine(call.output, look)))
    proposal = adoption.propose(look)
    written = not dry_run and _confirmed(call.output, proposal, path, asks=asks, yes=yes)
    if dry_run:
        for line in _lines(proposal, path):
            call.output.say(line)
    if written:
        adoption.carry_out(proposal)
        call.output.done(f"wrote {path}")
        call.output.say(f"next: pio-tf {'apply' if proposal.plan else 'up --no-deadline' if no_role else 'up'}")
    role = proposal.role.arn if proposal.role else role_arn
    call.show(
        AdoptResult.model_validate(
            {
                "file": path,
                "written": written,
                "cluster": name,
                "machines": look.machines,
                "role_arn": role,
                "changes": proposal.plan.changes if proposal.plan else None,
            }
        )
    )


def _confirmed(output: Output, proposal: Proposal, path: Path, *, asks: bool, yes: bool) -> bool:
    """Return True if the user agrees.

    Raises:
        ConfigError: the user does not.
    """
    lines = _lines(proposal, path)
    if asks:
        output.ask(lines)
    else:
        for line in lines:
            output.say(line)
    if yes or (asks and typer.confirm("Do so?", default=False, err=True)):
        return True
    raise ConfigError(
        "nothing was written",
        cause="it was not confirmed",
        next_step="give --yes to write without a question, or --dry-run to look only",
    )


def _lines(proposal: Proposal, path: Path) -> list[str]:
    """Return what would be written and created, for the user to judge."""
    lines = [f"note: {remark}" for remark in proposal.look.remarks]
    lines += [f"pio-tf would write {path}:", *(f"  {line}".rstrip() for line in proposal.text.splitlines())]
    if proposal.role is not None:
        instances = f"these {len(proposal.look.machines)} instances"
        lines.append(f"and create the IAM role {proposal.role.name}, with which AWS may stop {instances} only")
    if proposal.plan is not None:
        return [*lines, *_plan_lines(proposal.plan)]
    return [*lines, "nothing on the machines changes"]


def _plan_lines(plan: Plan) -> list[str]:
    """Return what `pio-tf apply` would do, what it changes on machines first."""
    keys = sorted({one.address.rpartition('["')[2].rstrip('"]') for one in plan.changes if one.type == _TAG})
    changed = [f"  change {one.machine}: {', '.join(one.reasons)}" for one in plan.changes if "update" in one.actions]
    made = Counter(one.type for one in plan.changes if one.actions == ("create",) and one.type != _TAG)
    return [
        "`pio-tf apply` would then",
        f"  import {plan.counts['import']} machines into Terraform's state",
        *(changed or ["  change nothing on them"]),
        f"  tag them with {', '.join(keys)}, beside their own tags",
        *([f"  create {', '.join(f'{number} {kind}' for kind, number in made.items())}"] if made else []),
    ]


def _refuse_power_only(path: Path, *, power_only: bool) -> None:
    """Refuse a pio-tf.hcl without Terraform with the line that adds it.

    Raises:
        ConfigError: there is one; or it has a mistake.
    """
    from pio_tf.config.load import load_config

    if power_only or not path.exists():
        return
    config = load_config(path, environ=os.environ)
    if config.power_only:
        raise ConfigError(
            f"{path} exists already: its machines are without Terraform",
            next_step=f"write terraform = true into its machines block ({config.where('machines.driver')}); "
            "`pio-tf plan` then shows what Terraform would import and create",
        )


def _ask_for_missing(output: Output, adoption: Adoption, choice: Choice) -> Choice:
    """Return a choice that is complete: the user names what no option has."""
    from pio_tf.machines.existing import Choice

    if choice.driver and choice.master and choice.workers:
        return choice
    output.ask(["The instances:", *adoption.list_instances()])

    def ask(question: str, given: tuple[str, ...]) -> tuple[str, ...]:
        if given:
            return given
        return tuple(str(typer.prompt(question, err=True)).replace(",", " ").split())

    return Choice(
        driver=ask("Id of the driver", choice.driver),
        master=ask("Id of Spark's master", choice.master),
        workers=ask("Ids of the workers", choice.workers),
    )


def _ask_for_engine(output: Output, look: Look) -> str:
    output.ask([f"  {one}" for one in look.engines])
    answer: str = typer.prompt("Engine's directory on the driver", err=True)
    return answer


def _account(region: str | None, profile: str | None) -> dict[str, Value]:
    """Return the options of the aws block.

    Raises:
        ConfigError: no region is known.
    """
    from pio_tf.aws.session import configured_region

    found = region or configured_region(profile)
    if not found:
        raise ConfigError("the region of the instances is not known", next_step="give --region")
    return {"region": found, "profile": profile}


def _sandbox() -> tuple[dict[str, Value], dict[str, Value], dict[str, Value]]:
    """Return the options of the aws, ssh and terraform blocks for the running sandbox."""
    from pio_tf.sandbox.control import default_directory, running_sandbox

    info = running_sandbox(default_directory())
    aws: dict[str, Value] = {
        "region": info.region,
        "endpoint_url": info.url,
        "profile": info.profile,
        "credentials_file": str(info.credentials_file),
    }
    return aws, {"port": info.ssh_port, "address": "private"}, {"cli_config_file": str(info.cli_config_file)}
