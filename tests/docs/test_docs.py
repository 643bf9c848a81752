"""The pages name only links, commands, options, error messages and exit codes that exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import typer

from pio_tf import errors
from pio_tf.cli.app import app
from pio_tf.config.schema import Config, block_class
from pio_tf.version import __version__
from scripts.release import release_notes
from tests.support.markdown import anchors, blocks, code_spans, links

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("terraform/**/*.md")])
GENERATED = {"commands.md"}  # usage lines such as `pio-tf init [OPTIONS]`, compared with the commands elsewhere
MESSAGES = {"pio-tf has a bug here"}
FILES = {"model.py", "driver.sh", "terraform.tfstate"}
LOCAL = {"localhost", "127.0.0.1", "::1"}


def test_the_pages_are_there() -> None:
    names = {page.name for page in PAGES}
    assert names >= {"README.md", "getting-started.md", "how-it-works.md", "troubleshooting.md", "architecture.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        if urlsplit(target).scheme:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_a_heading_gets_the_anchor_that_github_gives_it() -> None:
    text = "# A `b`: c_d?\n\n```\n# no heading\n```\n\n## 1. Look, then create\n## Twice\n## Twice\n"
    assert anchors(text) == {"a-b-c_d", "1-look-then-create", "twice", "twice-1"}


def shown_commands() -> Iterator[tuple[str, str]]:
    """Yield page and command line of every ``pio-tf …`` in a block or between backticks."""
    for page in PAGES:
        if page.name in GENERATED:
            continue
        text = page.read_text(encoding="utf-8")
        lines = [line.strip().removeprefix("$ ") for block in blocks(text) for line in block.splitlines()]
        for line in [*lines, *code_spans(text)]:
            if line.startswith("pio-tf ") and line not in MESSAGES:
                yield page.name, line


@pytest.mark.parametrize(("page", "line"), sorted(set(shown_commands())))
def test_every_command_that_is_shown_exists(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", ["pio-tf fly", "pio-tf up --fast", "pio-tf sandbox jump", "pio-tf init a b"])
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|unexpected"):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_is_named_is_one_of_pio_tf_hcl(page: Path) -> None:
    named = re.compile(rf"({'|'.join(Config.model_fields)})\.([a-z_]+)")
    wrong = []
    for span in code_spans(page.read_text(encoding="utf-8")):
        match = named.fullmatch(span)
        block = block_class(Config, match[1]) if match else None
        if match and block and match[2] not in block.model_fields and span not in FILES:
            wrong.append(span)
    assert wrong == []


def test_every_message_that_troubleshooting_explains_is_one_of_the_code() -> None:
    # A message of the code has placeholders where the page has values: three words in a row are enough to know it by.
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("pio_tf/**/*.py")]
    code = re.sub(r'"\s+f?"', "", "\n".join(sources))  # literals that continue in the next line
    code = re.sub(r"\{[^{}\n]*\}", "…", code)
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = [line for line in page.splitlines() if line.startswith("##") and "`" in line]
    assert len(headings) > 20
    assert [heading for heading in headings if not any(known(span, code) for span in code_spans(heading))] == []


def test_every_exit_code_is_in_the_commands_reference() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = page.partition("## Exit codes")[2]
    documented = [int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PioTfError)]
    assert len(kinds) > 5
    assert len(documented) == len(set(documented))
    assert {0, 143, *(kind.exit_code for kind in kinds)} <= set(documented)


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in (ROOT / "terraform" / "modules").iterdir() if path.is_dir()]
    assert len(modules) > 3
    for module in modules:
        text = (module / "README.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {module.name}\n")
        assert len(text) > 100


def test_the_changelog_collects_what_is_unreleased_above_the_notes_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)", text, flags=re.MULTILINE)
    assert headings[:2] == ["Unreleased", __version__]
    assert re.search(r"^- \S", release_notes(text, __version__), flags=re.MULTILINE)


def test_no_file_names_this_computer_or_the_package_index_that_it_installs_from() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    secrets = [place for place in {str(ROOT), sys.prefix} if len(Path(place).parts) > 2] + sorted(index_hosts())
    found = []
    for name in listed.rstrip("\0").split("\0"):
        path = ROOT / name
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found += [f"{name}: {secret}" for secret in secrets if re.search(rf"{re.escape(secret)}(?![\w-])", text)]
        if path != Path(__file__):
            found += [f"{name}: {word}" for word in ("--index-url", "PIP_INDEX_URL", "/simple/") if word in text]
    assert found == []


def parse(line: str) -> None:
    """Parse a command line as ``pio-tf`` would, without running it. Raises Typer's usage error."""
    words = shlex.split(re.split(r"\s[|;&>]", line)[0], comments=True)[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words:
            return  # a group alone
        if words[0].startswith("-"):
            options = {name for one in command.get_params(typer.Context(command)) for name in one.opts}
            assert words[0] in options, f"no such option: {words[0]}"
            return
        name = words.pop(0)
        assert name in command.commands, f"no such command: {name}"
        command = command.commands[name]
    command.make_context(command.name, words)


def known(message: str, code: str) -> bool:
    """Tell if the code holds three words in a row of the message (two of a short one); a placeholder is any word."""
    words = [re.escape(word) for word in message.split()]
    size = 2 if len(words) <= 3 else 3
    windows = [words[start : start + size] for start in range(len(words) - size + 1)]
    return any(re.search(" ".join(first) + rf" (?:{last}|\S*…)", code) for *first, last in windows)


def index_hosts() -> set[str]:
    """Return the hosts of pip's package indexes in this environment, except those on this computer."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings = [done.stdout, *(value for name, value in os.environ.items() if name.endswith("INDEX_URL"))]
    urls = re.findall(r"https?://[^\s'\",]+", " ".join(settings))
    return {host for url in urls if (host := urlsplit(url).hostname)} - LOCAL
