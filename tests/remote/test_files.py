"""Writing files on a machine: only where they differ, whole or not at all, and never over a user's work."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import RemoteError
from pio_tf.events import Event, Reporter, Warned, silent
from pio_tf.remote.files import ProvisionedFile, RemoteFile, read_answer, write_program
from pio_tf.remote.ssh import ClusterConnection
from tests.support.ssh_cluster import QUICK, TestCluster

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "quote ' \" dollar $HOME back `tick` \\ ümlaut\n\x01\nno newline at the end"


async def put_all(cluster: TestCluster, *files: RemoteFile, reporter: Reporter = silent) -> tuple[ProvisionedFile, ...]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK, reporter=reporter) as remote:
        return await remote.put_files("driver", files)


async def put(cluster: TestCluster, *files: RemoteFile) -> tuple[str, ...]:
    """Write the files; return the names of those that changed."""
    return tuple(one.name for one in await put_all(cluster, *files) if one.changed)


def visible(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if path.name != ".pio-tf")


def notes(home: Path) -> list[str]:
    return sorted(path.read_text() for path in (home / ".pio-tf" / "written").iterdir())


async def run_program(file: RemoteFile, home: Path, content: bytes, *, before: str = "") -> tuple[int | None, str, str]:
    """Run the program alone, after some lines of bash that make its life hard; return status, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        before + write_program(file),
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate(content)
    return process.returncode, stdout.decode(), stderr.decode()


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
    (kept,) = [name for name in visible(cluster.driver.home) if name not in ("a", "b")]
    assert kept.startswith("a.kept-")  # another mode alone is no user's work


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
    try:
        async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
            for letter in "bababa":
                await remote.put_files("driver", [RemoteFile("f", "~/f", contents[letter])])
    finally:
        done = True
    await watching
    assert seen == set(contents.values())


async def test_what_somebody_changed_is_kept_beside_with_its_mode_and_the_next_push_is_quiet(
    cluster: TestCluster,
) -> None:
    home = cluster.driver.home
    await put(cluster, RemoteFile("env", "~/env", "one\n", 0o600))
    (home / "env").write_text("edited by hand\n")
    (home / "env").chmod(0o640)
    edited = (home / "env").stat().st_ino
    (result,) = await put_all(cluster, RemoteFile("env", "~/env", "two\n", 0o600))
    assert (result.name, result.path, result.changed) == ("env", "~/env", True)
    assert re.fullmatch(re.escape(str(home / "env")) + r"\.kept-\d{8}T\d{6}Z", result.kept)
    kept = home / result.kept
    assert kept.read_text() == "edited by hand\n"
    assert kept.stat().st_ino == edited  # the same file: its owner is what it was, too
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert (home / "env").read_text() == "two\n"
    assert stat.S_IMODE((home / "env").stat().st_mode) == 0o600
    assert await put_all(cluster, RemoteFile("env", "~/env", "two\n", 0o600)) == (
        ProvisionedFile("env", "~/env", changed=False),
    )
    assert await put_all(cluster, RemoteFile("env", "~/env", "three\n", 0o600)) == (
        ProvisionedFile("env", "~/env", changed=True),
    )
    assert visible(home) == ["env", kept.name]


async def test_a_file_that_was_there_before_pio_tf_is_kept(cluster: TestCluster) -> None:
    (cluster.driver.home / "core-site.xml").write_text("<configuration/>\n")
    (result,) = await put_all(cluster, RemoteFile("core-site.xml", "~/core-site.xml", "ours\n"))
    assert (cluster.driver.home / result.kept).read_text() == "<configuration/>\n"


async def test_a_file_that_is_right_already_is_pio_tfs_from_then_on(cluster: TestCluster) -> None:
    (cluster.driver.home / "a").write_text("one\n")
    assert await put(cluster, RemoteFile("a", "~/a", "one\n")) == ()
    assert await put_all(cluster, RemoteFile("a", "~/a", "two\n")) == (ProvisionedFile("a", "~/a", changed=True),)
    assert visible(cluster.driver.home) == ["a"]


async def test_what_was_kept_is_never_written_over(cluster: TestCluster) -> None:
    home = cluster.driver.home
    kept = []
    for number in range(4):  # within one second, so that their times are one
        (home / "a").write_text(f"edit {number}\n")
        (result,) = await put_all(cluster, RemoteFile("a", "~/a", "ours\n"))
        kept.append(result.kept)
    assert [(home / name).read_text() for name in kept] == [f"edit {number}\n" for number in range(4)]
    assert len(visible(home)) == 5


async def test_what_was_written_is_remembered_on_the_machine_for_its_user_alone(cluster: TestCluster) -> None:
    home = cluster.driver.home
    (home / "link").symlink_to("a")
    await put(cluster, RemoteFile("a", "~/a", "one\n"), RemoteFile("b", "~/b", "two\n"))
    await put(cluster, RemoteFile("a", "~/link", "three\n"))
    assert notes(home) == sorted(
        f"{hashlib.sha256(content).hexdigest()}  {home / name}\n"
        for name, content in (("a", b"three\n"), ("b", b"two\n"))
    )
    for directory in (home / ".pio-tf", home / ".pio-tf" / "written"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(note.stat().st_mode) == 0o600 for note in (home / ".pio-tf" / "written").iterdir())


async def test_a_secret_is_never_readable_by_others_while_it_arrives(tmp_path: Path) -> None:
    file = RemoteFile("f", str(tmp_path / "f"), "a secret", 0o600)
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        "umask 0\n" + write_program(file),
        env={"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(b"a sec")
    await process.stdin.drain()
    while not (arriving := [path for path in tmp_path.glob("f.*") if path.stat().st_size == 5]):
        await asyncio.sleep(0.01)
    assert stat.S_IMODE(arriving[0].stat().st_mode) == 0o600
    await process.communicate(b"ret")
    assert process.returncode == 0
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


async def test_where_no_hard_link_is_allowed_a_copy_is_kept_with_its_mode_and_time(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("by hand")
    path.chmod(0o640)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    status, stdout, _ = await run_program(
        RemoteFile("f", str(path), "ours"), tmp_path / "home", b"ours", before="ln() { return 1; }\n"
    )
    assert status == 0
    kept = tmp_path / read_answer(RemoteFile("f", str(path), "ours"), stdout).kept
    assert kept.read_text() == "by hand"
    assert (stat.S_IMODE(kept.stat().st_mode), kept.stat().st_mtime) == (0o640, 1_000_000_000)
    assert path.read_text() == "ours"
    assert sorted(item.name for item in tmp_path.glob("f*")) == ["f", kept.name]


async def test_content_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "f"
    path.parent.mkdir()
    path.write_text("old")
    file = RemoteFile("f", str(path), "the whole new content")
    status, _, stderr = await run_program(file, tmp_path / "home", b"the whole")
    assert status == 1
    assert "only a part" in stderr
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["f"]


async def test_a_connection_that_breaks_leaves_the_old_file(cluster: TestCluster) -> None:
    home = cluster.driver.home
    (home / "f").write_text("old")
    big = RemoteFile("f", "~/f", "x" * 50_000_000)
    pushing = asyncio.ensure_future(put(cluster, big))
    while not pushing.done() and not any(path.stat().st_size for path in home.glob("f.*")):
        await asyncio.sleep(0.005)
    cluster.driver.cut()
    with pytest.raises(RemoteError, match="connection"):
        await pushing
    await cluster.driver.stop()  # once the command has ended there
    assert (home / "f").read_text() == "old"
    assert not list(home.glob("f.kept-*"))


async def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "f"
    path.parent.mkdir()
    path.write_text("old")
    content = "x" * 5000
    full = "trap '' XFSZ; ulimit -f 2\n"  # a file ends at 2 KiB, with an error of write(2) as a full disk has it
    status, _, stderr = await run_program(
        RemoteFile("f", str(path), content), tmp_path / "home", content.encode(), before=full
    )
    assert status == 1
    assert "File too large" in stderr
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["f"]


async def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "f"
    path.parent.mkdir()
    path.write_text("old")
    refused = 'mv() { echo "mv: Operation not permitted" >&2; return 1; }\n'  # a sticky directory, an immutable file
    status, _, stderr = await run_program(RemoteFile("f", str(path), "new"), tmp_path / "home", b"new", before=refused)
    assert status == 1
    assert "not permitted" in stderr
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["f"]
    assert not list((tmp_path / "home" / ".pio-tf" / "written").iterdir())


async def test_a_directory_in_a_files_place_is_told(cluster: TestCluster) -> None:
    (cluster.driver.home / "f").mkdir()
    with pytest.raises(RemoteError) as caught:
        await put(cluster, RemoteFile("f", "~/f", "content"))
    assert caught.value.cause.endswith("/f is not a file")
    assert list((cluster.driver.home / "f").iterdir()) == []


async def test_a_file_that_was_kept_is_told_where_another_one_fails(cluster: TestCluster) -> None:
    (cluster.driver.home / "a").write_text("by hand")
    (cluster.driver.home / "b").mkdir()
    events: list[Event] = []
    with pytest.raises(RemoteError, match="cannot write ~/b"):
        await put_all(cluster, *(RemoteFile(name, f"~/{name}", "ours") for name in "ab"), reporter=events.append)
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert any(line.startswith("a had been changed on driver: it is kept as ") for line in warnings)


async def test_a_path_that_cannot_be_written_is_told_with_the_reason(cluster: TestCluster) -> None:
    (cluster.driver.home / "file").write_text("in the way")
    files = [RemoteFile(name, f"~/file/{name}", "content") for name in ("x", "y")]
    with pytest.raises(RemoteError) as caught:
        await put(cluster, RemoteFile("fine", "~/fine", ""), *files)
    assert caught.value.what == "cannot write ~/file/x, ~/file/y on driver"
    assert "homes/driver/file': File exists" in caught.value.cause
    assert 'sudo mkdir -p "$HOME/file" && sudo chown ubuntu "$HOME/file"' in caught.value.next_step
    assert (cluster.driver.home / "fine").exists()
