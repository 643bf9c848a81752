"""``pio-tf init``: a pio-tf.hcl, and the bucket of its state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.command import CommandCall, command

if TYPE_CHECKING:
    from pio_tf.cli.output import Output
    from pio_tf.cli.results.stack import InitResult

_NAME = "pio-train"


@command(config=False)
def init(
    call: CommandCall,
    name: Annotated[str | None, typer.Argument(help="Name of the cluster.", show_default=_NAME)] = None,
    region: Annotated[
        str | None,
        typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region.", show_default="us-east-1"),
    ] = None,
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
) -> None:
    """Write a commented pio-tf.hcl that works."""
    from pio_tf.cli.results.stack import InitResult

    if backend or bucket:
        call.show(_init_with_backend(call.output, name, region, bucket, directory, sandbox=sandbox))
        return
    path = _write(call.output, name, region, directory, sandbox=sandbox)
    _say_next(call.output, path, sandbox=sandbox)
    call.show(InitResult(file=path, cluster=name or _NAME, bucket=None))


def _write(output: Output, name: str | None, region: str | None, directory: Path, *, sandbox: bool) -> Path:
    cluster = name or _NAME
    if sandbox:
        from pio_tf.sandbox.control import default_directory, running_sandbox
        from pio_tf.sandbox.project import prepare_project

        path = prepare_project(directory, running_sandbox(default_directory()), cluster=cluster)
    else:
        from pio_tf.config.template import render_template, write_new

        path = write_new(directory, render_template(cluster=cluster, region=region or "us-east-1"))
    output.done(f"wrote {path}")
    return path


def _say_next(output: Output, path: Path, *, sandbox: bool) -> None:
    output.say("next: " + ("pio-tf up" if sandbox else f"edit {path}, then pio-tf plan"))


def _init_with_backend(
    output: Output, name: str | None, region: str | None, bucket: str | None, directory: Path, *, sandbox: bool
) -> InitResult:
    from pio_tf.cli.results.stack import InitResult
    from pio_tf.config.load import CONFIG_NAME, load_config
    from pio_tf.config.template import with_backend
    from pio_tf.infra.backend.state_bucket import prepare_bucket

    path = directory / CONFIG_NAME
    is_new = name is not None or sandbox or not path.exists()
    if is_new:
        path = _write(output, name, region, directory, sandbox=sandbox)
    config = load_config(path)
    found = prepare_bucket(config, bucket, reporter=output.reporter)
    block = found.block(config)
    if is_new:
        path.write_text(with_backend(path.read_text(encoding="utf-8"), block), encoding="utf-8")
        _say_next(output, path, sandbox=sandbox)
    elif config.terraform.backend is None:
        output.say(
            f"next: add this to the terraform block of {path}; the next command moves the state there\n\n{block}"
        )
    return InitResult(file=path, cluster=config.cluster.name, bucket=found.name)
