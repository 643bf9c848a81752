"""Writing files on a machine: only where they differ, whole or not at all."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import RemoteError
from pio_tf.remote.files import RemoteFile, write_program
from pio_tf.remote.ssh import connect_cluster
from tests.remote.cluster_fixture import QUICK, TestCluster

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "quote ' \" dollar $HOME back `tick` \\ ümlaut\n\x01\nno newline at the end"


async def put(cluster: TestCluster, *files: RemoteFile) -> tuple[str, ...]:
    async with connect_cluster(cluster.config(), cluster.targets(), patience=QUICK) as remote:
        return await remote.put_files("driver", files)


async def test_files_arrive_byte_for_byte_with_their_mode_under_the_home_and_elsewhere(cluster: TestCluster) -> None:
    elsewhere = cluster.directory / "disk" / "a dir $x" / "b.xml"
    files = (
        RemoteFile("a", "~/conf/it's $HOME/a.sh", NASTY, 0o600),
        RemoteFile("b", str(elsewhere), "", 0o644),
        RemoteFile("c", "~/c", "x" * 3_000_000),
    )
    assert await put(cluster, *files) == ("a", "b", "c")
    first = cluster.driver.home / "conf" / "it's $HOME" / "a.sh"
    assert first.read_text() == NASTY
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert elsewhere.read_text() == ""
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644
    assert (cluster.driver.home / "c").stat().st_size == 3_000_000


async def test_a_second_push_writes_nothing_and_a_third_what_was_changed(cluster: TestCluster) -> None:
    files = (RemoteFile("a", "~/a", "one\n"), RemoteFile("b", "~/b", "two\n", 0o600))
    assert await put(cluster, *files) == ("a", "b")
    inode = (cluster.driver.home / "a").stat().st_ino
    assert await put(cluster, *files) == ()
    assert (cluster.driver.home / "a").stat().st_ino == inode
    (cluster.driver.home / "a").write_text("edited\n")
    (cluster.driver.home / "b").chmod(0o644)
    assert await put(cluster, *files) == ("a", "b")
    assert (cluster.driver.home / "a").read_text() == "one\n"
    assert stat.S_IMODE((cluster.driver.home / "b").stat().st_mode) == 0o600
    assert sorted(path.name for path in cluster.driver.home.iterdir()) == ["a", "b"]


async def test_a_link_stays_a_link(cluster: TestCluster) -> None:
    home = cluster.driver.home
    (home / "shared").write_text("old")
    (home / "link").symlink_to("shared")
    assert await put(cluster, RemoteFile("link", "~/link", "new")) == ("link",)
    assert (home / "link").is_symlink()
    assert (home / "shared").read_text() == "new"


async def test_a_reader_sees_the_old_file_or_the_new_one_never_half(cluster: TestCluster) -> None:
    path = cluster.driver.home / "f"
    contents = {letter: letter * 2_000_000 for letter in "ab"}
    path.write_text(contents["a"])
    seen: set[str] = set()
    done = False

    def watch() -> None:
        while not done:
            seen.add(path.read_text())

    watching = asyncio.get_running_loop().run_in_executor(None, watch)
    async with connect_cluster(cluster.config(), cluster.targets(), patience=QUICK) as remote:
        for letter in "bababa":
            await remote.put_files("driver", [RemoteFile("f", "~/f", contents[letter])])
    done = True
    await watching
    assert seen == set(contents.values())


async def test_content_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "f"
    path.parent.mkdir()
    path.write_text("old")
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        write_program(RemoteFile("f", str(path), "the whole new content")),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate(b"the whole")
    assert process.returncode == 1
    assert b"only a part" in stderr
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["f"]


async def test_a_path_that_cannot_be_written_is_told_with_the_reason(cluster: TestCluster) -> None:
    (cluster.driver.home / "file").write_text("in the way")
    files = [RemoteFile(name, f"~/file/{name}", "content") for name in ("x", "y")]
    with pytest.raises(RemoteError) as caught:
        await put(cluster, RemoteFile("fine", "~/fine", ""), *files)
    assert caught.value.what == "cannot write ~/file/x, ~/file/y on driver"
    assert "homes/driver/file': File exists" in caught.value.cause
    assert 'sudo mkdir -p "$HOME/file" && sudo chown ubuntu "$HOME/file"' in caught.value.next_step
    assert (cluster.driver.home / "fine").exists()
