"""The container images: built without a daemon, then used as a CI system uses them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from pio_tf.version import __version__
from tests.support.debian import need_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.debian
ROOT = Path(__file__).parents[2]
SMALL = 400_000_000
"""Bytes of the image with pio-tf and Terraform, not compressed. Terraform's library is 173 million of them."""

TRAINING = r"""
set -e
pio-tf sandbox start
pio-tf init trial --sandbox
sed -Ei 's/workers( +)= 2/workers\1= 1/' pio-tf.hcl
pio-tf train
pio-tf sandbox stop
[ ! -e ~/.local/state/pio-tf/sandbox ]
"""
"""A training on a sandbox that leaves nothing behind."""


class Image:
    """An image of the Dockerfile, loaded from its archive.

    Args:
        archive: the file that scripts/container-image has written.
        storage: a directory for Buildah's files.
        base: an image with its first layers. Its container, with these layers, is used from now on.
    """

    def __init__(self, archive: Path, storage: Path, *, base: Image | None = None) -> None:
        self.archive = archive
        self._storage = storage
        self._container: str = base._container if base else self._buildah("from", "--quiet", "scratch").stdout.strip()
        root = Path(self._buildah("mount", self._container).stdout.strip())
        with tarfile.open(archive) as files:
            (self.manifest,) = json.load(_member(files, "manifest.json"))
            config = _member(files, self.manifest["Config"]).read()
            self.id = hashlib.sha256(config).hexdigest()
            self.description = json.loads(config)
            names = self.manifest["Layers"]
            unpacked = base.layers if base else []
            self.layers: list[str] = [_hash(_member(files, name)) for name in names[: len(unpacked)]]
            """The SHA-256 of each."""
            assert self.layers == unpacked
            # Buildah would hash and copy 1.5 GB several times.
            self.layers += [_unpack(_member(files, name), root) for name in names[len(unpacked) :]]
        self._buildah("umount", self._container)
        variables = [f"--env={variable}" for variable in self.config["Env"]]
        place = [f"--user={self.config['User']}", f"--workingdir={self.config['WorkingDir']}"]
        self._buildah("config", *variables, *place, self._container)

    @property
    def config(self) -> dict[str, Any]:
        """What the image says of itself."""
        own: dict[str, Any] = self.description["config"]
        return own

    def run(self, *command: str, user: str = "", project: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in a container; ``project``: the directory that is mounted as the working directory."""
        options = [f"--user={user}"] if user else []
        options += [f"--volume={project}:/project"] if project else []
        return self._buildah("run", "--isolation=chroot", *options, self._container, "--", *command, check=False)

    def remove(self) -> None:
        """Remove its container."""
        self._buildah("rm", self._container)

    def _buildah(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        storage = [f"--root={self._storage}/root", f"--runroot={self._storage}/run"]
        command = ["buildah", *storage, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    return archive.extractfile(name) or pytest.fail(f"no {name}")


def _hash(layer: IO[bytes]) -> str:
    """Return the SHA-256 of a layer."""
    found = hashlib.sha256()
    while block := layer.read(1 << 20):
        found.update(block)
    return found.hexdigest()


def _unpack(layer: IO[bytes], root: Path) -> str:
    """Put a layer on those before it. Return its SHA-256."""
    found = hashlib.sha256()
    unpack = ["tar", "--extract", "--xattrs", "--directory", str(root)]
    with subprocess.Popen(unpack, stdin=subprocess.PIPE) as tar:
        assert tar.stdin
        while block := layer.read(1 << 20):
            found.update(block)
            tar.stdin.write(block)
        tar.stdin.close()
        assert tar.wait() == 0
    # The image specification: .wh.NAME removes the NAME of the layers before.
    marks = ["find", str(root), "-name", ".wh.*"]
    for mark in map(Path, subprocess.run(marks, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()):
        removed = mark.with_name(mark.name.removeprefix(".wh."))
        assert removed.name != ".wh..opq", f"{mark} would empty its directory"
        shutil.rmtree(removed) if removed.is_dir() and not removed.is_symlink() else removed.unlink()
        mark.unlink()
    return found.hexdigest()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Build both images. Yield the archives, 1.5 GB."""
    if os.geteuid() != 0 and not {"CI", "PIO_TF_REQUIRE_DEBIAN"} & os.environ.keys():
        pytest.skip("only root can build container images")
    need_packages("buildah", program="buildah")
    targets = ("cli", "sandbox")
    directory = tmp_path_factory.mktemp("images")
    script = [str(ROOT / "scripts" / "container-image"), str(directory), *targets]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield dict(zip(targets, map(Path, done.stdout.split()), strict=True))
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("storage")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def cli(archives: dict[str, Path], storage: Path) -> Iterator[Image]:
    image = Image(archives["cli"], storage)
    yield image
    image.remove()


@pytest.fixture(scope="module")
def sandbox(archives: dict[str, Path], storage: Path, cli: Image) -> Image:
    """Unpack on top of cli what only the sandbox has. No test after it runs a command in cli."""
    return Image(archives["sandbox"], storage, base=cli)


def test_the_image_runs_pio_tf_as_a_user_who_is_not_root(cli: Image) -> None:
    config = cli.config
    assert config["User"] == "pio-tf"
    assert config["Entrypoint"] == ["pio-tf"]
    for command, said in {("id", "--user"): "1000", ("pio-tf", "--version"): f"pio-tf {__version__}"}.items():
        done = cli.run(*command)
        assert done.stdout == f"{said}\n", done.stderr


def test_the_image_says_its_version_and_commit(cli: Image) -> None:
    labels = cli.config["Labels"]
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == commit.stdout.strip()
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_image_is_small_and_has_no_installer(cli: Image) -> None:
    assert cli.archive.stat().st_size < SMALL
    assert cli.run("python3", "-m", "pip", "--version").returncode == 1


def test_the_check_of_the_image_s_health_runs_pio_tf_and_its_terraform(cli: Image) -> None:
    kind, *check = cli.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    done = cli.run(*check)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"pio-tf {__version__}\nTerraform v1."), done


def test_a_mounted_project_is_written_by_the_user_that_the_ci_system_sets(cli: Image, tmp_path: Path) -> None:
    os.chown(tmp_path, 4242, 4242)
    done = cli.run("pio-tf", "init", "--yes", user="4242:4242", project=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pio-tf.hcl").stat().st_uid == 4242


@pytest.mark.parametrize("target", ["cli", "sandbox"])
def test_the_archive_has_the_image_with_all_its_layers(request: pytest.FixtureRequest, target: str) -> None:
    image: Image = request.getfixturevalue(target)
    assert f"docker.io/library/pio-tf:{__version__}-{target}" in image.manifest["RepoTags"]
    assert image.manifest["Config"] == f"{image.id}.json"
    assert [f"sha256:{layer}" for layer in image.layers] == image.description["rootfs"]["diff_ids"]


def test_a_cluster_trains_in_the_sandbox_image_and_leaves_nothing(sandbox: Image) -> None:
    """``tests/packaging/test_pythons.py`` runs the whole demo with the same packages."""
    done = sandbox.run("bash", "-c", TRAINING)
    assert done.returncode == 0, done.stdout + done.stderr
    for proof in ("exit status", "success line", "engine instance", "alias"):
        assert re.search(rf"(?m)^{proof} +yes +\S", done.stdout), proof
    assert re.search(r"(?m)^run \S+: succeeded after \d", done.stdout)
