"""Archives of an engine: saved from one driver, restored on another one, and refused where they do not fit."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.engine.archive import ArchivedEngine, restore_engine, save_engine
from pio_tf.engine.archive_place import DirectoryPlace, archive_name, find_place
from pio_tf.engine.driver_engine import describe_engine
from pio_tf.engine.push import push_engine
from pio_tf.engine.sources import read_sources
from pio_tf.errors import AwsError, ConfigError, NotReady, PioTfError, RemoteError
from pio_tf.iam import policies
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.sandbox.aws import LocalAws
from tests.support.engine_project import FILES, write
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.state_bucket import make_bucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Event

CACHES = {
    ".ivy2/cache/org.scala/lib.jar": "a library",
    ".ivy2/local/org.apache.predictionio/core.jar": "PredictionIO's own",
    ".sbt/boot/scala.jar": "Scala",
    ".sbt/repositories": "[repositories]",
    "pio/sbt/sbt-launch.jar": "the launcher",
}
SECRETS = {".ivy2/.credentials": "password=x", ".sbt/.credentials": "password=x", ".ssh/id": "a key"}
BUILT = {"target/scala-2.11/ur.jar": "a jar", "events.json": "data of the driver's own"}


class Driver:
    """A driver with an engine that was pushed and built, and where its archives are kept."""

    def __init__(self, cluster: TestCluster, remote: ClusterConnection) -> None:
        self.cluster = cluster
        self.remote = remote
        self.home = cluster.driver.home
        self.engine = self.home / "engine"
        self.place = DirectoryPlace(cluster.directory / "archives")
        self.events: list[Event] = []

    def config(self, engine: str = "~/engine") -> Config:
        return self.cluster.config(pio={"engine_dir": engine, "home": "~/pio"})

    async def fill(self) -> None:
        """Push an engine, and build it."""
        sources = read_sources(self.config(), write(self.cluster.directory / "sources", FILES))
        await push_engine(self.remote, self.config(), sources, by="ann", reporter=self.events.append)
        write(self.engine, BUILT)
        write(self.home, {**CACHES, **SECRETS})
        write(self.engine, {".pio-tf/kept/20260101T000000Z/old": ""})

    async def save(self) -> Path:
        """Return the path of a new archive."""
        with self.place.write(archive_name("ur")) as new:
            _, new.sha512 = await save_engine(self.remote, self.config(), new.file, reporter=self.events.append)
        return self.place.path / new.name

    async def restore(self, path: Path, *, engine: str = "~/engine", replace: bool = False) -> ArchivedEngine:
        with DirectoryPlace(path).read() as found:
            return await restore_engine(
                self.remote, self.config(engine), found.path, replace=replace, reporter=self.events.append
            )

    def lose(self) -> None:
        """Take a new driver: its home is empty."""
        shutil.rmtree(self.home)
        self.home.mkdir()

    def files(self, directory: Path | None = None) -> dict[str, str]:
        """Return the files of a directory, but for what pio-tf has in its own."""
        directory = directory or self.home
        found = [path for path in directory.rglob("*") if path.is_file() and ".pio-tf" not in path.parts]
        return {str(path.relative_to(directory)): path.read_text() for path in found}


@pytest.fixture
async def driver(cluster: TestCluster) -> AsyncIterator[Driver]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        made = Driver(cluster, remote)
        await made.fill()
        yield made


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def s3(aws: LocalAws) -> Any:  # noqa: ANN401 - botocore's
    return make_bucket(aws.url).s3


async def test_an_archive_brings_sources_build_and_caches_to_a_new_driver(driver: Driver) -> None:
    (driver.engine / "sbt").write_text("#!/bin/sh\n")
    (driver.engine / "sbt").chmod(0o755)
    (driver.engine / "link").symlink_to("src/main")
    before = await describe_engine(driver.remote, driver.config(), "~/engine/engine.json")
    path = await driver.save()
    driver.lose()
    facts = await driver.restore(path)
    assert driver.files(driver.engine) == {**FILES, **BUILT, "sbt": "#!/bin/sh\n"}
    assert stat.S_IMODE((driver.engine / "sbt").stat().st_mode) == 0o755
    assert str((driver.engine / "link").readlink()) == "src/main"
    assert {name: text for name, text in driver.files().items() if not name.startswith("engine/")} == CACHES
    assert facts.engine_dir == str(driver.engine)
    of_home = (".ivy2/cache", ".ivy2/local", ".sbt/boot", ".sbt/repositories")
    assert facts.caches == (*(f"home/{name}" for name in of_home), "pio/sbt")
    assert await describe_engine(driver.remote, driver.config(), "~/engine/engine.json") == before
    assert sorted(one.name for one in (driver.engine / ".pio-tf").iterdir()) == ["inputs", "pushed"]


async def test_an_archive_holds_no_credentials_and_only_its_owner_can_read_it(driver: Driver) -> None:
    write(driver.home, {".sbt/repositories": "[repositories]\n  ours: https://ann:secret@mirror.example/maven/\n"})
    path = await driver.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert names[0] == "pio-tf-engine.json"
    assert not [name for name in names if any(word in name for word in ("credentials", ".ssh", "kept", "repositories"))]


async def test_caches_that_are_there_stay_and_missing_files_are_added(driver: Driver) -> None:
    path = await driver.save()
    driver.lose()
    write(driver.home, {".ivy2/cache/org.scala/lib.jar": "newer", ".ivy2/cache/other.jar": ""})
    (driver.home / ".ivy2").chmod(0o700)
    await driver.restore(path)
    assert stat.S_IMODE((driver.home / ".ivy2").stat().st_mode) == 0o700
    caches = {name: text for name, text in driver.files().items() if not name.startswith("engine/")}
    assert caches == {**CACHES, ".ivy2/cache/org.scala/lib.jar": "newer", ".ivy2/cache/other.jar": ""}


async def test_an_engine_that_is_there_is_replaced_only_if_told_and_kept(driver: Driver) -> None:
    path = await driver.save()
    write(driver.engine, {"build.sbt": "of today\n", "new.scala": ""})
    today = driver.files(driver.engine)
    with pytest.raises(NotReady, match=r"the driver has an engine in .* already") as caught:
        await driver.restore(path)
    assert "--replace" in caught.value.next_step
    assert driver.files(driver.engine) == today
    await driver.restore(path, replace=True)
    assert driver.files(driver.engine) == {**FILES, **BUILT}
    *_, kept = sorted((driver.engine / ".pio-tf" / "kept").iterdir())
    assert {name: (kept / name).read_text() for name in today} == today


async def test_the_newest_archive_of_a_directory_is_taken(driver: Driver) -> None:
    path = await driver.save()
    for old in ("engine-a-20250101T000000Z.tar.gz", "engine-z-20240101T000000Z.tar.gz"):
        (path.parent / old).write_text("old")
    with DirectoryPlace(path.parent).read() as found:
        assert found.path == path


async def test_an_archive_in_s3_comes_back_as_it_was(driver: Driver, s3: Any) -> None:  # noqa: ANN401 - botocore's
    s3.create_bucket(Bucket="engines")
    called: set[str] = set()
    s3.meta.events.register("before-call.s3", lambda model, **_: called.add(model.name))
    place = find_place("s3://engines/ur", default=driver.cluster.directory / "here", s3=lambda: s3)
    with place.write("engine-ur-20261123T030000Z.tar.gz") as new:
        _, new.sha512 = await save_engine(driver.remote, driver.config(), new.file, reporter=driver.events.append)
    address = place.address(new.name)
    assert address == "s3://engines/ur/engine-ur-20261123T030000Z.tar.gz"
    with find_place(address, default=driver.cluster.directory / "here", s3=lambda: s3).read() as found:
        assert found.sha512 == new.sha512
        driver.lose()
        await restore_engine(driver.remote, driver.config(), found.path, replace=False, reporter=driver.events.append)
    assert driver.files(driver.engine) == {**FILES, **BUILT}
    assert list((driver.cluster.directory / "here").iterdir()) == []
    # HeadBucket needs s3:ListBucket, and the others what they are called.
    (policy,) = policies(driver.config(), "engine", archives="s3://engines/ur")
    actions = {action for grant in policy.grants for action in grant.pio_tf}
    assert called == {"HeadBucket", "GetObject", "PutObject"}
    assert actions == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}


# Bad input


async def test_an_archive_of_another_path_is_refused_with_both_paths(driver: Driver) -> None:
    path = await driver.save()
    driver.lose()
    with pytest.raises(ConfigError) as caught:
        await driver.restore(path, engine="~/other")
    assert f"is of the engine in {driver.engine}, not of {driver.home / 'other'}" in caught.value.what
    assert f'set engine_dir = "{driver.engine}"' in caught.value.next_step
    assert driver.files() == {}


async def test_a_damaged_archive_changes_nothing(driver: Driver) -> None:
    path = await driver.save()
    driver.lose()
    with path.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(b"damaged!")
    with pytest.raises(ConfigError, match="is damaged: its SHA-512 is not the one that was saved with it"):
        await driver.restore(path)
    assert driver.files() == {}


async def test_an_archive_that_ends_too_early_on_its_way_leaves_the_driver_as_it_was(driver: Driver) -> None:
    path = await driver.save()
    before = driver.files()
    half = path.with_name("half.tar.gz")
    half.write_bytes(path.read_bytes()[: path.stat().st_size - 200])
    with pytest.raises(RemoteError, match="cannot write the engine"):
        await restore_engine(driver.remote, driver.config(), half, replace=True, reporter=driver.events.append)
    assert driver.files() == before
    assert not (driver.engine / ".pio-tf" / "stage").exists()
    assert not (driver.engine / ".pio-tf" / "changing").exists()


async def test_a_driver_without_space_is_told_what_an_archive_needs(driver: Driver) -> None:
    path = driver.cluster.directory / "large.tar.gz"
    facts = {
        "version": 1,
        "engine_dir": str(driver.engine),
        "home": str(driver.home),
        "saved": "2026-11-23T03:00:00Z",
        "parts": {"engine": 2**50, "home/.ivy2/cache": 2**50},
    }
    data = json.dumps(facts).encode()
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("pio-tf-engine.json")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    before = driver.files()
    with pytest.raises(RemoteError, match="the driver has no space for the engine and its caches in /") as caught:
        await restore_engine(driver.remote, driver.config(), path, replace=True, reporter=driver.events.append)
    assert caught.value.details["kind"] == "no-space"
    assert driver.files() == before


async def test_a_driver_without_an_engine_has_nothing_to_save_and_leaves_no_file(driver: Driver) -> None:
    driver.lose()
    with pytest.raises(NotReady, match="has no files"):
        await driver.save()
    assert list(driver.place.path.iterdir()) == []


async def test_half_an_engine_is_not_saved(driver: Driver) -> None:
    write(driver.engine, {".pio-tf/changing": ""})
    with pytest.raises(NotReady, match="is half of two versions"):
        await driver.save()


def test_an_archive_without_its_checksum_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"engine-ur-20261123T030000Z.tar.gz": ""}) / "engine-ur-20261123T030000Z.tar.gz"
    with pytest.raises(ConfigError, match=r"the checksum of .* is missing"), DirectoryPlace(path).read():
        pass


@pytest.mark.parametrize(("where", "what"), [("", "has no archive of an engine"), ("x.tar.gz", "there is no file")])
def test_a_place_without_an_archive_is_told(tmp_path: Path, where: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what), DirectoryPlace(tmp_path / where).read():
        pass


async def test_another_archive_is_none_of_an_engine(driver: Driver) -> None:
    path = driver.cluster.directory / "other.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("README"))
    with pytest.raises(ConfigError, match="is not an archive of an engine"):
        await restore_engine(driver.remote, driver.config(), path, replace=True, reporter=driver.events.append)


def test_a_computer_without_space_for_an_archive_keeps_none(tmp_path: Path) -> None:
    place = tmp_path / "archives"

    def write_too_much() -> None:
        with DirectoryPlace(place).write("engine-ur-x.tar.gz") as new:
            new.file.write(b"a part")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(PioTfError, match=r"cannot write .*engine-ur") as caught:
        write_too_much()
    assert caught.value.cause == "No space left on device"
    assert list(place.iterdir()) == []


def test_a_bucket_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path, s3: Any) -> None:  # noqa: ANN401
    place = find_place("s3://nowhere-at-all", default=tmp_path, s3=lambda: s3)
    with pytest.raises(AwsError, match="the bucket nowhere-at-all does not exist"), place.write("engine-ur-x.tar.gz"):
        pass


def test_an_object_that_is_not_there_is_told(tmp_path: Path, s3: Any) -> None:  # noqa: ANN401
    s3.create_bucket(Bucket="empty")
    place = find_place("s3://empty/engine-ur-x.tar.gz", default=tmp_path, s3=lambda: s3)
    with pytest.raises(ConfigError, match=r"there is no s3://empty/engine-ur-x\.tar\.gz"), place.read():
        pass


def test_a_prefix_is_not_an_archive(tmp_path: Path, s3: Any) -> None:  # noqa: ANN401
    with (
        pytest.raises(ConfigError, match="it is not an archive"),
        find_place("s3://x-y-z/ur", default=tmp_path, s3=lambda: s3).read(),
    ):
        pass
