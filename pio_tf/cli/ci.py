"""``pio-tf ci`` and ``iam``: pipelines for CI systems, the work of their jobs, and the policies that they need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.command import CommandCall, command

if TYPE_CHECKING:
    from pio_tf.ci.pipeline import System

_Root = Annotated[Path, typer.Option("--dir", help="Root of the repository.")]
_Stdout = Annotated[bool, typer.Option("--stdout", help="Write to standard output instead.")]
_Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
_Role = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ARN",
        help="Use one IAM role for all jobs.",
        show_default="one for each kind, by variables",
    ),
]
_Python = Annotated[str, typer.Option("--python", metavar="VERSION", help="Version of Python.")]
_Schedule = Annotated[str, typer.Option("--schedule", metavar="CRON", help="When to train.", show_default="17 3 * * 0")]
_Branch = Annotated[str, typer.Option("--branch", help="Branch that is applied.")]
_Plan = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the plan, as for `pio-tf plan --out`.")]


@command()
def github(
    call: CommandCall,
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    role: _Role = "",
    python: _Python = "3.12",
    schedule: _Schedule = "",
    branch: _Branch = "main",
) -> None:
    """Write workflows for GitHub Actions.

    Also lists what you must set up for them.
    """
    choices = {"role": role, "python": python, "schedule": schedule, "branch": branch}
    _write(call, "github", root, choices, stdout=stdout, force=force)


@command()
def gitlab(
    call: CommandCall,
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    role: _Role = "",
    python: _Python = "3.12",
    branch: _Branch = "main",
) -> None:
    """Write a pipeline for GitLab CI.

    Also lists what you must set up for it.
    """
    _write(call, "gitlab", root, {"role": role, "python": python, "branch": branch}, stdout=stdout, force=force)


@command()
def jenkins(
    call: CommandCall,
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    schedule: _Schedule = "",
    branch: _Branch = "main",
) -> None:
    """Write pipelines for Jenkins.

    Also lists what you must set up for them.
    """
    _write(call, "jenkins", root, {"schedule": schedule, "branch": branch}, stdout=stdout, force=force)


@command()
def cron(
    call: CommandCall, root: _Root = Path(), stdout: _Stdout = False, force: _Force = False, schedule: _Schedule = ""
) -> None:
    """Write a crontab for training and reaping, and its script."""
    _write(call, "cron", root, {"schedule": schedule}, stdout=stdout, force=force)


@command()
def keys(call: CommandCall) -> None:
    """Write the SSH keys of a job's variables to their files.

    PIO_TF_SSH_KEY, PIO_TF_SSH_PUBLIC_KEY and PIO_TF_KNOWN_HOSTS each hold a file, which goes where pio-tf.hcl expects
    it. An existing key stays as it is.
    """
    from pio_tf.ci.keys import write_keys
    from pio_tf.cli.results.pipelines import KeysResult
    from pio_tf.config.load import load_config

    written = [str(path) for path in write_keys(load_config(call.config), os.environ)]
    call.output.done(f"wrote {', '.join(written)}" if written else "there was nothing to write")
    call.show(KeysResult(written=written))


@command(config=False)
def comment(call: CommandCall, directory: _Plan) -> None:
    """Show a saved plan as a comment on the pull request.

    A new plan replaces the comment of the one before. For GitHub Actions (with GITHUB_TOKEN), GitLab CI (with
    PIO_TF_GITLAB_TOKEN) and Jenkins (either's token as GITHUB_TOKEN).
    """
    from pio_tf.ci.comment import find_pull_request, show_plan
    from pio_tf.cli.results.pipelines import CommentResult

    done = show_plan(find_pull_request(os.environ), directory)
    call.output.done(f"comment {done}")
    call.show(CommentResult(comment=done))


@command()
def reviewed(call: CommandCall, directory: _Plan) -> None:
    """Fetch the plan that was reviewed for this merge.

    If it no longer holds, pio-tf makes a new one. For GitHub Actions.
    """
    from pio_tf.ci.reviewed import take_reviewed_plan
    from pio_tf.cli.results.stack import ReviewedResult

    taken = take_reviewed_plan(call.cluster, directory, os.environ, call.output.reporter)
    call.show(ReviewedResult.of(taken.plan, directory, pull=taken.pull))


@command()
def iam(
    call: CommandCall,
    role: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="ROLE",
            help="Write the policy of plan, apply, train, schedule, destroy, mirror, engine, ssh, init, list, cost, "
            "assume or boundary.",
            show_default="a table of them",
        ),
    ] = "",
    account: Annotated[
        str,
        typer.Option(
            "--account", metavar="ID", help="AWS account of the cluster.", show_default="aws.assume_role's, or any"
        ),
    ] = "",
    archives: Annotated[
        str,
        typer.Option(
            metavar="s3://BUCKET/PREFIX", help="Place for `engine save` and `engine restore`.", show_default="none"
        ),
    ] = "",
) -> None:
    """Write the narrowest IAM policy for a job.

    pio-tf does not ask AWS.
    """
    import json

    from pio_tf.cli.results.pipelines import IamResult

    policies = call.cluster.iam(role, account=account, archives=archives)
    if role and not call.json:
        for note in policies[0].notes:
            call.output.say(f"note: {note}")
        call.output.write(json.dumps(policies[0].document, indent=2))
        return
    call.show(IamResult.of(policies))


def _write(call: CommandCall, system: System, root: Path, given: dict[str, str], *, stdout: bool, force: bool) -> None:
    from pio_tf.ci.pipeline import Choices, render_pipeline, write_pipeline
    from pio_tf.ci.prerequisites import list_prerequisites
    from pio_tf.cli.results.pipelines import PipelineResult
    from pio_tf.cluster.messages import without_terraform
    from pio_tf.config.load import load_config

    choices = Choices(**{name: value for name, value in given.items() if value})
    config = load_config(call.config)
    if config.power_only and system != "cron":
        raise without_terraform(config, "writes jobs that plan and apply")
    pipeline = render_pipeline(system, config, root=root, choices=choices)
    needs = list_prerequisites(system, config, choices)
    if not stdout:
        for path in write_pipeline(pipeline, root, force=force):
            call.output.done(f"wrote {path}")
    elif not call.json:
        for name, text in pipeline.files.items():
            call.output.write(text if len(pipeline.files) == 1 else f"==> {name}\n{text}\n")
    call.show(PipelineResult.of(system, pipeline.files, needs, written=not stdout))
