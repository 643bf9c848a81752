"""The documentation as a site: strict, with search, and without anything that a browser fetches from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.test_docs import PAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = ["Tutorial", "How-to guides", "Reference", "Explanation"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the site, built from this repository."""
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("INFO ")] == []
    return directory


def build(repository: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Build a repository's site as ``make docs-site`` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_every_page_of_the_repository_is_a_page_of_the_site(site: Path) -> None:
    for page in PAGES:
        name = page.relative_to(ROOT).with_suffix("")
        assert (site / (name.parent if name.name == "README" else name) / "index.html").is_file(), name


def test_the_pages_of_docs_are_in_the_four_groups_of_the_readme(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    nav = home.partition('<nav class="md-nav md-nav--primary')[2].partition("</nav>\n  </div>")[0]
    groups = re.findall(r'class="md-nav__title"[^>]*>\s*(?:<span[^>]*></span>\s*)?([^<>]+?)\s*</label>', nav)
    assert [group for group in groups if group in GROUPS] == GROUPS
    assert {f"docs/{page.stem}/" for page in PAGES if page.parent.name == "docs"} <= set(
        re.findall(r'href="([^"]*)"', nav)
    )


def test_the_search_finds_what_is_on_the_pages(site: Path) -> None:
    found = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    assert any("InsufficientInstanceCapacity" in one["title"] for one in found)
    assert {one["location"].partition("#")[0] for one in found} >= {"", "docs/failsafe/", "docs/commands/"}


def test_a_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(
        r'<(?:script|img|iframe)[^>]* src="(\w*:?//[^"]*)|<link(?![^>]*canonical)[^>]* href="(\w*:?//[^"]*)'
    )
    found = {str(page): fetched.findall(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    assert {page: urls for page, urls in found.items() if urls} == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gone](gone.md)", "'gone.md'"),
        ("[gone](a.md#gone)", "no such anchor"),
        ("[a directory](../scripts)", "unrecognized relative link"),
    ],
)
def test_a_broken_link_or_anchor_fails(tmp_path: Path, text: str, complaint: str) -> None:
    for name in ("mkdocs.yml", "scripts/site.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "README.md").write_text("# Home\n\n## Where next\n\n**Group**\n\n- [A](docs/a.md)\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(f"# A\n\n{text}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert complaint in done.stderr


@pytest.mark.parametrize(
    "unlike",
    [
        pytest.param(
            r"^ {1,3}```", id="code in a numbered list needs four spaces; with three, its numbers begin again"
        ),
        pytest.param(r"^(?!- |\d+\. |  ?\S| {3}\S)\S?.*\S\n(- |\d+\. )", id="a list needs an empty line before it"),
    ],
)
def test_lists_look_the_same_on_github_and_on_the_site(unlike: str) -> None:
    pages = {page.name: re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8")) for page in PAGES}
    assert {name for name, text in pages.items() if re.search(unlike, text, re.MULTILINE)} == set()
