"""The files that belong to an engine, and the mistakes in its directory that a push finds before it begins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.engine.sources import EngineSources, read_sources
from pio_tf.errors import ConfigError
from tests.support.builders import make_config
from tests.support.engine_project import FILES, git, repository, write

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = sorted(FILES)


def read(directory: Path, **blocks: Any) -> EngineSources:  # noqa: ANN401 - of pio-tf.hcl
    return read_sources(make_config(directory.parent, **blocks), directory)


def paths(sources: EngineSources) -> list[str]:
    return [file.path for file in sources.files]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return repository(tmp_path / "engine")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write(tmp_path / "engine", FILES)


def test_in_git_these_are_the_tracked_files_as_they_are_now(engine: Path) -> None:
    commit = git(engine, "rev-parse", "HEAD")
    before = read(engine)
    assert (paths(before), before.commit, before.uncommitted) == (ENGINE, commit, False)
    write(engine, {"build.sbt": "changed\n", "new.scala": "", "notes/todo": ""})
    (engine / "project" / "build.properties").unlink()
    after = read(engine)
    assert paths(after) == [path for path in ENGINE if path != "project/build.properties"]
    assert (after.commit, after.uncommitted) == (commit, True)
    assert after.untracked == ("new.scala", "notes/todo")
    assert after.digest != before.digest


def test_ignored_files_and_the_output_of_builds_are_neither_pushed_nor_named(engine: Path) -> None:
    write(engine, {".git/info/exclude": "*.log\n", "a.log": "", "target/scala-2.11/ur.jar": "", "project/target/x": ""})
    write(engine, {".pio-tf/ur/runs/1/log": ""})
    sources = read(engine)
    assert (paths(sources), sources.untracked) == (ENGINE, ())


def test_a_directory_inside_a_repository_is_pushed_by_itself(tmp_path: Path) -> None:
    root = tmp_path / "mono"
    repository(root)
    write(root, {f"engines/ur/{name}": text for name, text in FILES.items()})
    git(root, "add", "engines")
    write(root, {"build.sbt": "a change elsewhere\n", "untracked": ""})
    git(root, "commit", "--quiet", "-m", "Another engine")
    sources = read(root / "engines" / "ur")
    assert (paths(sources), sources.uncommitted, sources.untracked) == (ENGINE, False, ())


def test_the_files_of_submodules_are_pushed(engine: Path, tmp_path: Path) -> None:
    library = write(tmp_path / "library", {"Lib.scala": ""})
    git(library, "init", "--quiet")
    git(library, "add", ".")
    git(library, "commit", "--quiet", "-m", "A library")
    git(engine, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "src/lib")
    git(engine, "commit", "--quiet", "-m", "With it")
    assert "src/lib/Lib.scala" in paths(read(engine))
    git(engine, "submodule", "--quiet", "deinit", "--force", "src/lib")
    with pytest.raises(ConfigError, match=r"the submodule src/lib in .* is not checked out"):
        read(engine)


def test_without_git_these_are_all_files_that_no_gitignore_names(plain: Path) -> None:
    write(plain, {".gitignore": "*.log\n/data/\n!keep.log\n", "data/events.json": "", "a.log": "", "keep.log": ""})
    write(plain, {"src/.gitignore": "!b.log\nsecret\n", "src/b.log": "", "src/secret": "", "secret": ""})
    write(plain, {"target/scala-2.11/ur.jar": "", ".pio-tf/pushed": ""})
    sources = read(plain)
    assert paths(sources) == sorted([*ENGINE, ".gitignore", "keep.log", "secret", "src/.gitignore", "src/b.log"])
    assert (sources.commit, sources.uncommitted) == ("", False)


def test_the_digest_of_a_build_ignores_what_a_build_does_not_read(plain: Path) -> None:
    before = read(plain)
    write(plain, {"engine.json": FILES["engine.json"] + "\n", "README.md": ""})
    other = read(plain)
    assert other.digest != before.digest
    assert other.build_digest == before.build_digest
    write(plain, {"src/main/scala/Engine.scala": "class Engine2\n"})
    assert read(plain).build_digest != before.build_digest


def test_a_link_within_the_engine_stays_a_link(plain: Path) -> None:
    (plain / "src" / "link").symlink_to("../build.sbt")
    (link,) = [file for file in read(plain).files if file.mode == "link"]
    assert (link.path, link.target) == ("src/link", "../build.sbt")


# Bad input


@pytest.mark.parametrize("target", ["/etc/hostname", "../../outside", "inner/through"])
def test_a_link_that_leads_out_is_refused_by_its_name(plain: Path, target: str) -> None:
    write(plain.parent, {"outside": "secret\n"})
    (plain / "inner").mkdir()
    (plain / "inner" / "through").symlink_to(plain.parent / "outside")
    (plain / ".gitignore").write_text("/inner/\n")
    (plain / "link").symlink_to(target)
    with pytest.raises(ConfigError, match=r"the link .*/engine/link leads out of the engine's directory") as caught:
        read(plain)
    assert "write link into .gitignore" in caught.value.next_step


def test_a_file_of_2_gb_is_refused_with_its_name_and_both_ways_out(plain: Path) -> None:
    write(plain, {"data/events.json": ""})
    os.truncate(plain / "data" / "events.json", 2 * 1024**3)
    with pytest.raises(ConfigError) as caught:
        read(plain)
    assert caught.value.what == f"{plain}/data/events.json is too large to push: 2,048 MiB, more than 100 MiB"
    assert "write data/events.json into .gitignore" in caught.value.next_step
    assert "pio.engine.max_file" in caught.value.next_step


def test_a_larger_limit_lets_a_large_file_pass(plain: Path) -> None:
    write(plain, {"model.bin": ""})
    os.truncate(plain / "model.bin", 3 * 1024**2)
    with pytest.raises(ConfigError, match="more than 2 MiB"):
        read(plain, pio={"engine_dir": "/engine", "engine": {"max_file": "2m"}})
    assert "model.bin" in paths(read(plain, pio={"engine_dir": "/engine", "engine": {"max_file": "3m"}}))


@pytest.mark.parametrize("name", ["build.sbt", "engine.json"])
def test_a_directory_without_the_files_of_an_engine_is_none(plain: Path, name: str) -> None:
    (plain / name).unlink()
    with pytest.raises(ConfigError, match=f"has no {name}: it is not an engine's directory"):
        read(plain)


def test_an_engine_in_python_needs_no_build_sbt(plain: Path) -> None:
    (plain / "build.sbt").unlink()
    read(plain, train={"pio_arguments": ["--main-py-file", "train.py"]})


def test_a_build_sbt_that_git_does_not_track_comes_with_the_command(engine: Path) -> None:
    git(engine, "rm", "--quiet", "--cached", "build.sbt")
    with pytest.raises(ConfigError, match=r"build.sbt in .* would not be pushed") as caught:
        read(engine)
    assert caught.value.next_step == f"git -C {engine} add --force build.sbt"


def test_a_directory_of_which_git_tracks_nothing_is_told(engine: Path) -> None:
    other = write(engine / "other", FILES)
    with pytest.raises(ConfigError, match="git tracks no file in"):
        read(other)


def test_a_repository_on_a_computer_without_git_is_told(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(engine))
    with pytest.raises(ConfigError, match="is in a git repository, but there is no git on this computer"):
        read(engine)


def test_a_repository_that_git_cannot_read_comes_with_its_words(plain: Path) -> None:
    (plain / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(ConfigError, match="git could not list the files") as caught:
        read(plain)
    assert "not a git repository" in caught.value.cause


@pytest.mark.parametrize(("make", "what"), [(False, "does not exist"), (True, "is not a directory")])
def test_a_directory_that_is_none_is_told(tmp_path: Path, *, make: bool, what: str) -> None:
    if make:
        (tmp_path / "engine").write_text("")
    with pytest.raises(ConfigError, match=f"engine {what}"):
        read(tmp_path / "engine")


def test_a_name_that_cannot_be_printed_is_refused(plain: Path) -> None:
    write(plain, {"src/two\nlines": ""})
    with pytest.raises(ConfigError, match="has characters that cannot be printed"):
        read(plain)


def test_a_named_pipe_is_refused(plain: Path) -> None:
    os.mkfifo(plain / "pipe")
    with pytest.raises(ConfigError, match="is neither a file nor a link"):
        read(plain)
