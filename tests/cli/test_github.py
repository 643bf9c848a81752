"""GitHub's runner reads pio-tf's annotations, groups and outputs as pio-tf means them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.github import Place, append, command, guard, output_entry, places
from pio_tf.errors import ConfigError, PioTfError
from tests.cli.runner import read_log, read_outputs

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = "100% of %0A: a,b\r\nnext::error::line; [x] ü"


def test_a_command_says_what_the_runner_documents() -> None:
    assert command("endgroup") == "::endgroup::\n"
    assert command("error", "it: 50%\n", file="a,b:c.hcl", line=3, title="") == (
        "::error file=a%2Cb%3Ac.hcl,line=3::it: 50%25%0A\n"
    )


def test_whatever_a_message_or_a_property_holds_arrives_whole() -> None:
    (read,) = read_log(command("error", AWKWARD, title=AWKWARD, file="pio-tf.hcl", line=7)).commands
    assert read.data == AWKWARD
    assert read.properties == {"title": AWKWARD, "file": "pio-tf.hcl", "line": "7"}


@pytest.mark.parametrize(
    "line",
    [
        "::error::gotcha",
        "  \t::warning file=x::gotcha",
        "::stop-commands::for ever",
        "text before ##[error]gotcha",
        "harmless\r::error::gotcha",
        "​::add-mask::a",
        "::endgroup::",
    ],
)
def test_a_line_that_looks_like_a_command_is_none(line: str) -> None:
    log = read_log(guard(f"before\n{line}\nafter") + "\n" + command("warning", "ours").removesuffix("\n"))
    assert [(one.name, one.data) for one in log.commands] == [("warning", "ours")]
    assert log.lines == ["before", *line.split("\r"), "after"]
    assert log.stopped == ""


def test_other_lines_stay_as_they_are() -> None:
    text = "[INFO] scala.collection::List\n## [x]\n\nhttp://[::1]:9200\n"
    assert guard(text) == text


def test_no_two_guards_share_a_token() -> None:
    once, again = guard("::error::x"), guard("::error::x")
    assert once.split("\n")[0] != again.split("\n")[0]


@pytest.mark.parametrize(
    ("value", "read"),
    [("ur_1", "ur_1"), ("", ""), (True, "true"), (False, "false"), (None, ""), (12, "12"), ("a=b<<c", "a=b<<c")],
)
def test_an_output_of_one_line(value: object, read: str) -> None:
    assert read_outputs(output_entry("model", value)) == {"model": read}


def test_an_output_of_several_lines_ends_where_it_should() -> None:
    text = "one\nEOF\nother=2\nname<<EOF"
    assert read_outputs(output_entry("error", text) + output_entry("exit", 2)) == {"error": text, "exit": "2"}


def test_every_line_of_a_configuration_that_an_error_names_is_a_place(tmp_path: Path) -> None:
    file = tmp_path / "work" / "infra" / "prod.hcl"
    error = ConfigError(
        "prod.hcl:3: aws.region: must be one, with 50%\nprod.hcl:12: spark: what: is it",
        details={"file": str(file)},
    )
    assert places(error, {"GITHUB_WORKSPACE": str(tmp_path / "work")}) == (
        Place("infra/prod.hcl", 3, "aws.region: must be one, with 50%"),
        Place("infra/prod.hcl", 12, "spark: what: is it"),
    )


def test_a_place_in_the_middle_of_a_sentence_has_the_whole_of_it() -> None:
    error = PioTfError("no key", cause="ssh.key (pio-tf.hcl:9) names ~/.ssh/id")
    assert places(error, {}) == (Place("pio-tf.hcl", 9, "ssh.key (pio-tf.hcl:9) names ~/.ssh/id"),)


def test_an_error_without_a_place_has_none() -> None:
    assert places(PioTfError("no answer at http://127.0.0.1:80", cause="main.tf:3: x"), {}) == ()


def test_a_file_of_the_runner_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    assert "GITHUB_OUTPUT" in append("GITHUB_OUTPUT", "a=b\n", {"GITHUB_OUTPUT": str(tmp_path)})
    assert append("GITHUB_OUTPUT", "a=b\n", {}) == ""
