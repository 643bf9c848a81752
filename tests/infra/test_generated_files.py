"""Generated files stay in their directory, whatever links are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError
from pio_tf.infra.generated_files import write_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a stack's directory whose folder ``modules`` leads to ``elsewhere``, beside it."""
    stack = tmp_path / "stack"
    write_files(stack, {"main.tf": "a", "modules/old/main.tf": "b"}, named="terraform.directory")
    (stack / "modules").rename(tmp_path / "elsewhere")
    (stack / "modules").symlink_to(tmp_path / "elsewhere")
    return stack


@pytest.mark.parametrize("files", [{"main.tf": "a", "modules/new/main.tf": "c"}, {"main.tf": "a"}])
def test_a_link_that_leads_out_of_the_directory_is_refused(linked: Path, files: dict[str, str]) -> None:
    before = sorted(path.relative_to(linked.parent) for path in linked.parent.rglob("*"))
    with pytest.raises(ConfigError, match=r"has links that lead out of it: .*modules/old/main\.tf") as caught:
        write_files(linked, files, named="pio-tf.hcl:3: terraform.directory")
    assert "remove the links" in caught.value.next_step
    assert sorted(path.relative_to(linked.parent) for path in linked.parent.rglob("*")) == before
    assert (linked.parent / "elsewhere" / "old" / "main.tf").read_text() == "b"


def test_a_directory_that_is_itself_behind_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_files(tmp_path / "link", {"modules/main.tf": "a"}, named="terraform.directory")
    assert (tmp_path / "real" / "modules" / "main.tf").read_text() == "a"
