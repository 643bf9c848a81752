"""``pio-tf ci``: pipelines for CI systems, and what their jobs do besides the ordinary commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from pio_tf.ci.pipeline import System

ci_app = typer.Typer(
    help="Pipelines: plan on a pull request, apply what was reviewed, train by schedule.", no_args_is_help=True
)
app.add_typer(ci_app, name="ci")

_Root = Annotated[Path, typer.Option("--dir", help="Root of the repository.")]
_Stdout = Annotated[bool, typer.Option("--stdout", help="Write to standard output instead.")]
_Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]
_Role = Annotated[
    str,
    typer.Option(
        "--role", metavar="ARN", help="One IAM role for all jobs.", show_default="one for each kind, by variables"
    ),
]
_Python = Annotated[str, typer.Option("--python", metavar="VERSION", help="Version of Python.")]
_Schedule = Annotated[str, typer.Option("--schedule", metavar="CRON", help="When to train.", show_default="17 3 * * 0")]
_Branch = Annotated[str, typer.Option("--branch", help="The branch that is applied.")]
_Kept = Annotated[Path, typer.Argument(metavar="DIR", help="Where the plan is kept, as for `pio-tf plan --out`.")]


@ci_app.command("github")
def github(
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    role: _Role = "",
    python: _Python = "3.12",
    schedule: _Schedule = "",
    branch: _Branch = "main",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write workflows for GitHub Actions, and say what they need."""
    _write(
        "github",
        root,
        config,
        json=json,
        stdout=stdout,
        force=force,
        role=role,
        python=python,
        schedule=schedule,
        branch=branch,
    )


@ci_app.command("gitlab")
def gitlab(
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    role: _Role = "",
    python: _Python = "3.12",
    branch: _Branch = "main",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write a pipeline for GitLab CI, and say what it needs."""
    _write("gitlab", root, config, json=json, stdout=stdout, force=force, role=role, python=python, branch=branch)


@ci_app.command("jenkins")
def jenkins(
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    schedule: _Schedule = "",
    branch: _Branch = "main",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write pipelines for Jenkins, and say what they need."""
    _write("jenkins", root, config, json=json, stdout=stdout, force=force, schedule=schedule, branch=branch)


@ci_app.command("cron")
def cron(
    root: _Root = Path(),
    stdout: _Stdout = False,
    force: _Force = False,
    schedule: _Schedule = "",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write a crontab for training and reaping, and the script that it runs."""
    _write("cron", root, config, json=json, stdout=stdout, force=force, schedule=schedule)


@ci_app.command("keys")
def keys(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Write the keys of SSH from a job's variables to where pio-tf.hcl has them.

    PIO_TF_SSH_KEY, PIO_TF_SSH_PUBLIC_KEY and PIO_TF_KNOWN_HOSTS each hold a file. A key that is there stays as it is.
    """
    from pio_tf.ci.keys import write_keys
    from pio_tf.cli.output import Rows, Terminal
    from pio_tf.config.load import load_config

    with Terminal(json=json) as terminal:
        written = [str(path) for path in write_keys(load_config(config), os.environ)]
        terminal.done(f"wrote {', '.join(written)}" if written else "there was nothing to write")
        terminal.result(Rows((), (), {"version": 1, "written": written}))


@ci_app.command("comment")
def comment(directory: _Kept, json: JsonOption = False) -> None:
    """Show a kept plan as a comment on this job's pull request; the one before it is changed.

    In GitHub Actions (with GITHUB_TOKEN), GitLab CI (with PIO_TF_GITLAB_TOKEN) and Jenkins (either's token as
    GITHUB_TOKEN).
    """
    from pio_tf.ci.comment import show_plan
    from pio_tf.ci.forge import find_change
    from pio_tf.cli.output import Rows, Terminal

    with Terminal(json=json) as terminal:
        done = show_plan(find_change(os.environ), directory)
        terminal.done(f"comment {done}")
        terminal.result(Rows((), (), {"version": 1, "comment": done}))


@ci_app.command("reviewed")
def reviewed(directory: _Kept, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Fetch the plan that was reviewed for this merge; where it no longer holds, make a new one. For GitHub Actions."""
    from dataclasses import replace

    from pio_tf.ci.reviewed import take_reviewed_plan
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import plan_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        taken = take_reviewed_plan(cluster, directory, os.environ, terminal.reporter)
        rows = plan_rows(taken.plan, directory)
        whose = f"The plan of pull request #{taken.pull}, as it was reviewed." if taken.pull else _NEW
        terminal.result(
            replace(
                rows,
                data={**rows.data, "pull": taken.pull},
                outputs={**rows.outputs, "reviewed": taken.pull is not None},
                markdown=f"{whose}\n\n{rows.markdown}",
            )
        )


_NEW = "**A new plan, which nobody has reviewed.** The job's log says why it is not the one of the pull request."


def _write(
    system: System, root: Path, config: Path | None, *, json: bool, stdout: bool, force: bool, **given: str
) -> None:
    from dataclasses import asdict

    from pio_tf.ci.needs import find_needs
    from pio_tf.ci.pipeline import Choices, render_pipeline, write_pipeline
    from pio_tf.cli.output import Rows, Terminal
    from pio_tf.config.load import load_config

    choices = Choices(**{name: value for name, value in given.items() if value})
    with Terminal(json=json) as terminal:
        loaded = load_config(config)
        pipeline = render_pipeline(system, loaded, root=root, choices=choices)
        needs = find_needs(system, loaded, choices)
        if not stdout:
            for path in write_pipeline(pipeline, root, force=force):
                terminal.done(f"wrote {path}")
        elif not json:
            for name, text in pipeline.files.items():
                terminal.write(text if len(pipeline.files) == 1 else f"==> {name}\n{text}\n")
        data = {
            "version": 1,
            "system": system,
            "written": not stdout,
            "files": [{"path": path, "content": text} for path, text in pipeline.files.items()],
            "needs": [asdict(need) for need in needs],
        }
        shown = () if stdout else tuple((need.name, need.where, need.what) for need in needs)
        terminal.result(Rows(("TO BE SET UP", "WHERE", "WHAT"), shown, data))
