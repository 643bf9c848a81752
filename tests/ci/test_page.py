"""The page docs/ci.md: every command on it works, and jobs run the commands that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.ci.pipeline import SYSTEMS, Choices, render_pipeline
from pio_tf.ci.prerequisites import list_prerequisites
from pio_tf.config.load import load_config
from tests.support.markdown import blocks, code_spans

if TYPE_CHECKING:
    from tests.support.shell import Project

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
TYPED = [line.removeprefix("$ ") for block in blocks(PAGE) for line in block.splitlines() if line.startswith("$ ")]


def test_every_command_of_the_page_works_in_its_order(project: Project) -> None:
    assert len(TYPED) == 8
    for line in TYPED:
        program, *words = shlex.split(line)
        assert program == "pio-tf"
        done = project.run(*words)
        if line == "pio-tf init --backend":
            # As the page says: add the block that it shows.
            block = done.stderr[done.stderr.index('  backend "s3"') :]
            path = project.directory / "pio-tf.hcl"
            path.write_text(path.read_text().replace("terraform {\n", f"terraform {{\n{block}\n"))
    written = {str(path.relative_to(project.directory)) for path in project.directory.rglob("*") if path.is_file()}
    named = {
        span for span in code_spans(PAGE) if span.startswith((".github/", ".gitlab-ci", "Jenkinsfile", "pio-tf-job"))
    }
    assert named - {".github/"} <= written
    assert "pio-tf.crontab" in written


def test_what_jobs_run_by_the_page_is_what_the_pipelines_run(project: Project) -> None:
    config = load_config(project.directory / "pio-tf.hcl")
    text = "\n".join(
        file for system in SYSTEMS for file in render_pipeline(system, config, root=project.directory).files.values()
    )
    run = set(re.findall(r"(?:run: (?:exec )?|- |\(|bin/)(pio-tf [^\n)'\"]+)", text))
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    named = {span for span in code_spans(rows) if span.startswith("pio-tf ")} - set(TYPED)
    assert len(named) >= 4
    assert named <= run


def test_what_must_be_set_up_is_on_the_page(project: Project) -> None:
    config = load_config(project.directory / "pio-tf.hcl")
    for system in SYSTEMS:
        for need in list_prerequisites(system, config, Choices()):
            assert need.name.partition("=")[0] in PAGE, need
