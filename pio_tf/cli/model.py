"""``pio-tf model list | show | rollback``: the models that are served and kept."""

from __future__ import annotations

from typing import Annotated

import typer

from pio_tf.cli.ci_output import can_ask
from pio_tf.cli.command import CommandCall, command
from pio_tf.errors import ConfigError

_MODEL = "The index, or the engine instance, or a part of its name."


@command(name="list")
def list_(call: CommandCall) -> None:
    """Show the model that is served, and those that are kept.

    Asks Elasticsearch through the running driver. Changes nothing.
    """
    from pio_tf.cli.results.model import ModelsResult

    call.show(ModelsResult.of(call.cluster.models()))


@command()
def show(
    call: CommandCall,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL, show_default="the one that is served")] = "",
) -> None:
    """Show one model: its documents, and how its mapping differs."""
    from pio_tf.cli.results.model import ModelDetailsResult
    from pio_tf.training.custody.models import find_model

    call.show(ModelDetailsResult.of(find_model(call.cluster.models(), model)))


@command()
def rollback(
    call: CommandCall,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL, show_default="the newest that is kept")] = "",
    force: Annotated[bool, typer.Option("--force", help="Go back even if the mapping has changed since.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go back without asking.")] = False,
) -> None:
    """Serve an older model again.

    Moves the alias of the Universal Recommender to the kept model, in one request. Its engine instance becomes the one
    that `pio deploy` takes. Refused while a run is active.
    """
    from pio_tf.cli.results.model import ModelsResult, RollbackResult
    from pio_tf.training.custody.models import choose_models

    models = call.cluster.models()
    chosen = choose_models(models, model, force=force)
    shown = [one for one in models if one in chosen or one.state == "served"]
    call.output.ask([str(one) for one in ModelsResult.of(shown).models])
    if not (yes or (can_ask() and typer.confirm(f"Serve {', '.join(one.id for one in chosen)}?", err=True))):
        raise ConfigError(
            "the model that is served stays",
            cause="the rollback was not confirmed",
            next_step=" ".join(["pio-tf model rollback", *([model] if model else []), "--yes"]),
        )
    call.show(RollbackResult.of(call.cluster.roll_back_model(model, force=force)))
