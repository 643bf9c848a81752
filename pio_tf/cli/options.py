"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

ConfigOption = Annotated[
    Optional[Path],  # noqa: UP045 - Typer evaluates this at run time, on Python 3.10 too
    typer.Option("--config", "-c", envvar="PIO_TF_CONFIG", help="Configuration file.", show_default="pio-tf.hcl"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result as JSON on standard output.")]
