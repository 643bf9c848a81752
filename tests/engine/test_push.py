"""A push of an engine's sources to a driver, over real SSH: what travels, what stays, and what a broken one leaves."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.engine.driver_engine import describe_engine, look_at_engine, note_build
from pio_tf.engine.push import PushedEngine, look_and_plan, push_engine
from pio_tf.engine.sources import read_sources
from pio_tf.errors import PioTfError, RemoteError
from pio_tf.events import Done, Event, Warned
from pio_tf.remote.ssh import ClusterConnection
from tests.support.background import wait_until
from tests.support.engine_project import FILES, git, repository, write
from tests.support.ssh_cluster import QUICK, TestCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pio_tf.config.schema import Config
    from pio_tf.engine.driver_engine import EngineFacts


class Push:
    """An engine here, and the driver's."""

    def __init__(self, cluster: TestCluster, remote: ClusterConnection) -> None:
        self.cluster = cluster
        self.remote = remote
        self.here = write(cluster.directory / "sources", FILES)
        self.there = cluster.driver.home / "engine"
        self.events: list[Event] = []

    @property
    def config(self) -> Config:
        return self.cluster.config(pio={"engine_dir": "~/engine"})

    async def push(self) -> PushedEngine:
        sources = read_sources(self.config, self.here)
        return await push_engine(self.remote, self.config, sources, by="ann", reporter=self.events.append)

    async def facts(self) -> EngineFacts:
        return await describe_engine(self.remote, self.config, str(self.there / "engine.json"))

    def files(self) -> dict[str, str]:
        """Return the driver's files, but for the notes of pushes."""
        found = [path for path in self.there.rglob("*") if path.is_file() and ".pio-tf" not in path.parts]
        return {str(path.relative_to(self.there)): path.read_text() for path in found}

    def kept(self) -> dict[str, str]:
        """Return the files that the driver keeps of others' work."""
        found = [path for path in self.there.glob(".pio-tf/kept/*/**/*") if path.is_file()]
        return {"/".join(path.relative_to(self.there).parts[3:]): path.read_text() for path in found}


@pytest.fixture
async def world(cluster: TestCluster) -> AsyncIterator[Push]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield Push(cluster, remote)


def changed(pushed: PushedEngine) -> list[str]:
    return [file.path for file in pushed.plan.changed]


async def test_a_first_push_brings_every_file_with_its_mode_and_links(world: Push) -> None:
    (world.here / "sbt").write_text("#!/bin/sh\n")
    (world.here / "sbt").chmod(0o755)
    (world.here / "link").symlink_to("src/main")
    pushed = await world.push()
    assert pushed.path == str(world.there)
    assert changed(pushed) == sorted([*FILES, "link", "sbt"])
    assert world.files() == {**FILES, "sbt": "#!/bin/sh\n"}
    assert stat.S_IMODE((world.there / "sbt").stat().st_mode) == 0o755
    assert stat.S_IMODE((world.there / "build.sbt").stat().st_mode) == 0o644
    assert (world.there / "link").readlink() == Path("src/main")
    assert not (world.there / ".pio-tf" / "stage").exists()


async def test_a_second_push_writes_nothing_and_a_third_only_what_was_changed(world: Push) -> None:
    await world.push()
    inode = (world.there / "build.sbt").stat().st_ino
    assert (await world.push()).plan.is_empty
    (world.here / "engine.json").write_text(FILES["engine.json"] + "\n")
    (world.here / "build.sbt").chmod(0o755)
    assert changed(await world.push()) == ["build.sbt", "engine.json"]
    assert (world.there / "build.sbt").stat().st_ino != inode
    assert [event.message for event in world.events if isinstance(event, Done)] == [
        "pushed 5 files (0.0 MB)",
        "the driver has the engine's sources",
        "pushed 2 files (0.0 MB)",
    ]


async def test_what_was_pushed_and_is_gone_here_is_removed_and_nothing_else(world: Push) -> None:
    own = {"target/scala-2.11/ur.jar": "jar", "events.json": "{}", "src/main/resources/log4j.properties": ""}
    write(world.there, own)
    await world.push()
    (world.here / "project" / "build.properties").unlink()
    (world.here / "src" / "main" / "scala" / "Engine.scala").unlink()
    pushed = await world.push()
    assert pushed.plan.removed == ("project/build.properties", "src/main/scala/Engine.scala")
    left = {name: text for name, text in FILES.items() if name not in pushed.plan.removed}
    assert world.files() == {**left, **own}
    assert not (world.there / "project").exists()
    assert world.kept() == {}


async def test_what_others_have_changed_on_the_driver_is_kept_beside_the_engine(world: Push) -> None:
    write(world.there, {"engine.json": "before pio-tf\n"})
    await world.push()
    assert world.kept() == {"engine.json": "before pio-tf\n"}
    write(world.there, {"build.sbt": "edited\n", "project/build.properties": "edited, too\n"})
    (world.here / "project" / "build.properties").unlink()
    await asyncio.sleep(1)  # the kept ones are named by the second
    await world.push()
    assert world.files()["build.sbt"] == FILES["build.sbt"]
    assert "project/build.properties" not in world.files()
    edited = {"build.sbt": "edited\n", "project/build.properties": "edited, too\n"}
    assert world.kept() == {"engine.json": "before pio-tf\n", **edited}
    assert [event.message.partition(";")[0] for event in world.events if isinstance(event, Warned)] == [
        "changed on the driver, and not by pio-tf: engine.json",
        "changed on the driver, and not by pio-tf: build.sbt, project/build.properties",
    ]


async def test_a_file_becomes_a_directory_and_a_directory_a_file(world: Push) -> None:
    write(world.here, {"conf": "a file\n", "more/one": "", "more/two": ""})
    await world.push()
    (world.here / "conf").unlink()
    shutil.rmtree(world.here / "more")
    write(world.here, {"conf/a": "inside\n", "more": "a file now\n"})
    await world.push()
    assert world.files() == {**FILES, "conf/a": "inside\n", "more": "a file now\n"}


async def test_a_dry_run_names_the_changes_and_makes_none(world: Push) -> None:
    pushed = await look_and_plan(world.remote, world.config, read_sources(world.config, world.here))
    assert changed(pushed) == sorted(FILES)
    assert not world.there.exists()


async def test_files_that_git_does_not_track_are_left_out_with_a_warning(world: Push) -> None:
    repository(world.here)
    write(world.here, {"New.scala": ""})
    await world.push()
    assert world.files() == FILES
    (warning,) = [event.message for event in world.events if isinstance(event, Warned)]
    assert warning.startswith("not pushed, because git does not track it: New.scala\n`git add`")


async def test_the_driver_knows_the_commit_the_digests_and_what_was_edited_since(world: Push) -> None:
    repository(world.here)
    await world.push()
    sources, facts = read_sources(world.config, world.here), await world.facts()
    commit = git(world.here, "rev-parse", "HEAD")
    assert (facts.commit, facts.uncommitted, facts.digest) == (commit, False, sources.digest)
    (engine_json,) = [file.sha256 for file in sources.files if file.path == "engine.json"]
    assert facts.engine_json == engine_json
    assert (facts.edited, facts.half, facts.pushed[-1]) == (False, False, "Z")
    write(world.there, {"build.sbt": "edited\n"})
    assert (await world.facts()).edited
    git(world.here, "commit", "--quiet", "--allow-empty", "-m", "Nothing new")
    await world.push()
    assert (await world.facts()).commit == git(world.here, "rev-parse", "HEAD")


async def test_an_engine_that_was_cloned_on_the_driver_has_its_commit_too(world: Push) -> None:
    repository(world.there)
    facts = await world.facts()
    assert (facts.commit, facts.uncommitted) == (git(world.there, "rev-parse", "HEAD"), False)
    assert (facts.digest, facts.pushed) == ("", "")
    write(world.there, {"build.sbt": "edited\n"})
    assert (await world.facts()).uncommitted


async def test_a_build_is_stale_once_what_it_reads_was_pushed(world: Push) -> None:
    await world.push()
    assert (await world.facts()).stale_build  # there is no jar
    write(world.there, {"target/scala-2.11/ur.jar": ""})
    await note_build(world.remote, world.config)
    write(world.here, {"engine.json": FILES["engine.json"] + "\n"})
    await world.push()
    assert not (await world.facts()).stale_build
    await asyncio.sleep(0.05)  # the clock of files has steps
    write(world.here, {"src/main/scala/Engine.scala": "class Engine2\n"})
    await world.push()
    assert (await world.facts()).stale_build
    await asyncio.sleep(0.05)
    write(world.there, {"target/scala-2.11/ur.jar": "built by hand"})
    assert not (await world.facts()).stale_build


# What a broken push leaves


async def test_a_push_whose_connection_breaks_leaves_the_engine_as_it_was_and_the_next_one_completes(
    world: Push,
) -> None:
    await world.push()
    write(world.here, {"a-large-one": "x" * 30_000_000, "build.sbt": "changed\n"})
    pushing = asyncio.ensure_future(world.push())
    stage = world.there / ".pio-tf" / "stage" / "files" / "a-large-one"
    await asyncio.to_thread(wait_until, stage.exists)
    world.cluster.driver.cut()
    with pytest.raises(RemoteError):
        await pushing
    assert world.files() == FILES
    assert not (await world.facts()).half
    await world.push()
    assert world.files()["build.sbt"] == "changed\n"


async def test_a_push_that_is_killed_amid_its_renames_is_seen_and_the_next_one_completes(world: Push) -> None:
    await world.push()
    changes = {"build.sbt": "changed\n", "project/build.properties": "changed, too\n"}
    write(world.here, changes)
    programs = world.cluster.directory / "programs"
    killed = 'case "$*" in *project*) kill -KILL 0; esac'  # the whole group, the shell too
    mv = write(programs, {"mv": f'#!/bin/sh\n{killed}\nexec /bin/mv "$@"\n'})
    (mv / "mv").chmod(0o755)
    with pytest.MonkeyPatch.context() as path:
        path.setenv("PATH", str(programs), prepend=":")
        with pytest.raises(RemoteError, match="cannot write the engine"):
            await world.push()
    assert world.files()["build.sbt"] == "changed\n"
    assert world.files()["project/build.properties"] == FILES["project/build.properties"]
    assert (await world.facts()).half
    await world.push()
    assert not (await world.facts()).half
    assert world.files() == {**FILES, **changes}
    assert world.kept() == {}


async def test_a_driver_without_space_is_told_before_anything_is_copied(world: Push) -> None:
    programs = world.cluster.directory / "programs"
    df = write(programs, {"df": "#!/bin/sh\necho Avail\necho 1024\n"}) / "df"
    df.chmod(0o755)
    with pytest.MonkeyPatch.context() as path:
        path.setenv("PATH", str(programs), prepend=":")
        with pytest.raises(RemoteError, match="no space for the engine's sources: 65 MiB needed, 1 MiB free"):
            await world.push()
    assert not world.there.exists()


async def test_a_directory_that_the_user_may_not_write_comes_with_the_command(world: Push) -> None:
    world.there.parent.joinpath("engine").write_text("a file is in its place")
    with pytest.raises(RemoteError, match="cannot write the engine in ~/engine on driver") as caught:
        await world.push()
    assert "sudo mkdir -p ~/engine && sudo chown" in caught.value.next_step


async def test_a_directory_in_the_way_of_a_file_is_not_removed(world: Push) -> None:
    write(world.there, {"build.sbt/notes": "mine"})
    with pytest.raises(PioTfError, match=r"build\.sbt on the driver is in the way"):
        await world.push()
    assert world.files() == {"build.sbt/notes": "mine"}


async def test_a_file_that_changes_while_it_is_pushed_changes_nothing(world: Push) -> None:
    sources = read_sources(world.config, world.here)
    write(world.here, {"build.sbt": "longer than it was\n"})
    with pytest.raises(PioTfError, match=r"build\.sbt changed while it was pushed"):
        await push_engine(world.remote, world.config, sources, by="ann", reporter=world.events.append)
    assert world.files() == {}


async def test_a_note_that_is_damaged_is_written_again(world: Push) -> None:
    await world.push()
    (world.there / ".pio-tf" / "pushed").write_text("{\nnonsense\n")
    pushed = await world.push()
    assert changed(pushed) == []
    engine = await look_at_engine(world.remote, world.config, [])
    assert json.dumps(engine.notes[0].facts["digest"]) == f'"{pushed.sources.digest}"'
