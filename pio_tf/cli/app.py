"""The Typer application: every command, in the groups of ``pio-tf --help``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import typer

from pio_tf.cli import access, adopt, ci, demo, engine, init, model, power, runs, sandbox, schedule, software, stack
from pio_tf.cli.command import CommandSpec, GroupSpec, group_class
from pio_tf.version import __version__

SECTIONS: dict[str, Sequence[CommandSpec | GroupSpec]] = {
    "The main job": (init.init, stack.plan, power.up, runs.train, power.down, power.status),
    "Runs": (
        runs.check,
        GroupSpec("runs", runs.runs.summary, (runs.show,), runs.runs),
        runs.logs,
        runs.cancel,
        runs.cost,
        GroupSpec("model", "Show the models, and go back to an older one.", (model.list_, model.show, model.rollback)),
        runs.report,
    ),
    "Machines": (
        GroupSpec(
            "schedule",
            "Train on AWS's own clock, without a client.",
            (schedule.set_, schedule.show, schedule.pause, schedule.resume, schedule.remove),
        ),
        power.list_,
        power.extend,
        power.resize,
        software.provision,
        access.ssh,
        access.ui,
        GroupSpec("host-keys", access.host_keys.summary, (access.accept,), access.host_keys),
        GroupSpec(
            "engine", "Push, save or restore the engine on the driver.", (engine.push, engine.save, engine.restore)
        ),
        GroupSpec("config", "Show or write the driver's configuration files.", (software.show, software.push)),
    ),
    "Terraform": (stack.validate, stack.apply, stack.drift, stack.output, stack.generate, stack.guard, stack.destroy),
    "Setup": (
        demo.demo,
        adopt.adopt,
        GroupSpec(
            "ci",
            "Write CI pipelines, and do the work of their jobs.",
            (ci.github, ci.gitlab, ci.jenkins, ci.cron, ci.keys, ci.comment, ci.reviewed),
        ),
        ci.iam,
        runs.notify,
        GroupSpec(
            "mirror",
            "Copy software for machines without internet.",
            (software.list_mirror, software.fetch, software.push_mirror),
        ),
        GroupSpec(
            "sandbox",
            "Run a local AWS to try everything on.",
            (sandbox.start, sandbox.status, sandbox.service, sandbox.fire, sandbox.stop),
        ),
    ),
}


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"pio-tf {__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app = typer.Typer(
    help="Train Apache PredictionIO engines on machines that you create once, start for each `pio train`, and stop "
    "afterwards.",
    cls=group_class(SECTIONS),
    callback=_root,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich doubles the time that `--help` takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command_name(argv: Sequence[str]) -> str:
    """Return the words of a command line that name the command: ``pio-tf plan``, ``pio-tf sandbox start``."""
    groups = {entry.name for entries in SECTIONS.values() for entry in entries if isinstance(entry, GroupSpec)}
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), argv[1:]))
    return " ".join(["pio-tf", *words[: 2 if words and words[0] in groups else 1]])
