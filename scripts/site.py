"""The documentation as a site, a hook of MkDocs: every page keeps its place in the repository, and so its links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_PAGES = ("*.md", "docs/**/*", "terraform/modules/*/README.md")
_GROUP = re.compile(r"^\*\*(.+)\*\*$")
_ENTRY = re.compile(r"^- \[(.+?)\]\((\S+?)\)")
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from the list of pages at the end of README.md."""
    index = (_root(config) / "README.md").read_text(encoding="utf-8").partition("\n## Where next\n")[2]
    nav: list[dict[str, str | list[dict[str, str]]]] = [{"Home": "README.md"}]
    group: list[dict[str, str]] = []
    for line in index.splitlines():
        if match := _GROUP.match(line):
            group = []
            nav.append({match[1]: group})
        elif match := _ENTRY.match(line):
            group.append({match[1]: match[2]})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by all pages of the repository, and the files that these link to."""
    root = _root(config)
    pages = {path for pattern in _PAGES for path in root.glob(pattern) if path.is_file()}
    linked = {
        (page.parent / target).resolve()
        for page in pages
        if page.suffix == ".md"
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
    }
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    for path in sorted(pages | {path for path in linked if path.is_file()}):
        name = path.relative_to(root)
        in_nav = name.parts[0] in ("README.md", "docs")
        inclusion = InclusionLevel.INCLUDED if in_nav else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, name.as_posix(), abs_src_path=str(path), inclusion=inclusion))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Give the home page, which is a group of its own, the room of the list of its group's pages."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    return markdown


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
