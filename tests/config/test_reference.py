from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Protocol, cast

import pytest
import typer

from pio_tf.config.schema import Config
from scripts.configuration_page import read_examples, render_configuration
from tests.support.config_samples import BLOCKS, load_text

ROOT = Path(__file__).parents[2]
EXAMPLES = read_examples()
ENVIRON = {"STATE_BUCKET": "states", "SLACK_WEBHOOK": "https://hooks.example.org/x"}


def test_the_page_is_what_make_docs_writes() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == render_configuration(), "run `make docs`"


def test_the_examples_are_one_whole_configuration(tmp_path: Path) -> None:
    assert list(EXAMPLES) == list(Config.model_fields)
    config = load_text(tmp_path, "".join(EXAMPLES.values()), ENVIRON)
    assert config.terraform.backend is not None
    assert config.terraform.backend.arguments["bucket"] == "states"


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_each_example_is_valid_by_itself(tmp_path: Path, name: str) -> None:
    text = EXAMPLES[name] + "".join(block for other, block in BLOCKS.items() if other != name)
    load_text(tmp_path, text, ENVIRON)


def test_every_option_has_a_row_with_a_meaning() -> None:
    page = render_configuration()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert ["| `workers`", "whole number", "`2`", "Number of workers. 1 to 500. |"] in rows
    assert ["| `start_timeout`", "duration", '`"15m"`'] in [row[:3] for row in rows]
    assert ["| `ssh_cidrs`", "list of address ranges", "`[]`"] in [row[:3] for row in rows]
    assert all(len(row[3].strip(" |")) > 3 for row in rows if len(row) == 4)


class Script(Protocol):
    def render_commands(self, app: typer.Typer) -> str: ...


@pytest.fixture(scope="module")
def script() -> Script:
    spec = importlib.util.spec_from_file_location("reference_script", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Script", module)


def test_commands_are_described_from_the_application(script: Script) -> None:
    app, group = typer.Typer(help="All of it."), typer.Typer()
    app.add_typer(group, name="box")

    @app.command()
    def go(name: str, fast: bool = typer.Option(False, "--fast", "-f", help="At <once> | now.")) -> None:
        """Go somewhere. Slowly."""

    @app.command(hidden=True)
    def secret() -> None:
        """Stay out of the page."""

    @group.command("open")
    def open_box(
        path: str = typer.Option("x", envvar="BOX", show_default="a box", help="Which."),
    ) -> None:
        """Open the box."""

    page = script.render_commands(app)
    assert "| [`pio-tf go`](#pio-tf-go) | Go somewhere. |" in page
    assert "## pio-tf box open" in page
    assert "| `-f, --fast` | At &lt;once> \\| now. |" in page
    assert "[env var: BOX; default: a box] |" in page
    assert "Stay out" not in page
    usage = "Wrong usage of a command. A mistake in pio-tf.hcl or an option; nothing was started or changed."
    assert f"| 2 | usage; changes present | {usage} |" in page
    assert "| 129 | hung up | SIGHUP: the terminal was closed. |" in page
    assert "| 143 | terminated | SIGTERM. |" in page


@pytest.mark.skipif(not (ROOT / "docs" / "commands.md").exists(), reason="`make docs` has not written it yet")
def test_the_page_of_commands_is_what_make_docs_writes(script: Script) -> None:
    from pio_tf.cli.app import app

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == script.render_commands(app), "run `make docs`"
