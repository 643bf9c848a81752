"""A world for the session, and one cluster that most tests look at."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.aws import LocalAws
from pio_tf.sandbox.services import LocalServices
from tests.real_machines.board import PowerBoard
from tests.real_machines.client import Client
from tests.real_machines.cluster import Cluster
from tests.real_machines.disks import Disk
from tests.real_machines.figures import Figures
from tests.real_machines.kept import leave_marks
from tests.real_machines.machine import Hardware, wait_until
from tests.real_machines.mirror import Mirror
from tests.real_machines.software import engine_files, fill_mirror, write_archive
from tests.real_machines.stack import apply, write_config
from tests.real_machines.world import World
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real_machines.kept import Left
    from tests.real_machines.machine import Launch
    from tests.real_machines.software import Archive

NETWORK = IPv4Network("10.77.0.0/24")
R3_MIB = 8192
"""Memory of the worker that is an r3 at first."""
KEPT = b"somebody's data"
FIGURES = pytest.StashKey["Figures"]()


@dataclass(frozen=True)
class Disks:
    """Disks of the workers, and the driver's volume for scratch files."""

    xen: Disk
    nvme: Disk
    volume: Disk
    scratch: Disk


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make a world in the directory that scripts/test-machines has prepared."""
    image, cgroup = (os.environ.get(name) for name in ("PIO_TF_MACHINE_IMAGE", "PIO_TF_MACHINE_CGROUP"))
    if image is None or cgroup is None:
        pytest.fail("machines boot in a world of their own only: make test-machines")
    world = World(tmp_path_factory.mktemp("world"), image=Path(image), network=NETWORK, cgroup=cgroup)
    yield world
    world.close()


@pytest.fixture(scope="session")
def mirror(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """Run a mirror that has everything, in :attr:`Mirror.archives`."""
    with Mirror(tmp_path_factory.mktemp("mirror"), address=str(world.gateway)) as mirror:
        yield mirror


@pytest.fixture(scope="session")
def archives(mirror: Mirror) -> dict[str, Archive]:
    """Return the archives of the mirror, by the components' names."""
    return fill_mirror(mirror.directory)


@pytest.fixture(scope="session")
def board() -> PowerBoard:
    """Return the board that follows EC2's instances."""
    return PowerBoard()


@pytest.fixture(scope="session")
def aws(board: PowerBoard) -> Iterator[LocalAws]:
    """Run an AWS, whose instances the board follows."""
    with LocalAws(transition_seconds=1.0, on_change=board.instance_changed, console=board.console) as aws:
        board.watch(aws)
        yield aws


@pytest.fixture(scope="session")
def site(aws: LocalAws, provider_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Make a directory for a pio-tf.hcl."""
    return Site(tmp_path_factory.mktemp("site"), name="real", url=aws.url, mirror=provider_mirror)


@pytest.fixture(scope="session")
def launches(site: Site, world: World, mirror: Mirror, archives: dict[str, Archive]) -> dict[str, Launch]:
    """Return the arguments with which Terraform has launched the machines. The first mirror that they try is down."""
    mirrors = (f"http://{world.gateway}:1", mirror.url)
    key = world.key.with_suffix(".pub")
    return apply(site, write_config(site, network=NETWORK, mirrors=mirrors, archives=archives, public_key=key))


@pytest.fixture(scope="session")
def disks(world: World) -> Disks:
    """Make a volume, which keeps its contents, beside the instance store."""
    volume = Disk(world.directory, kind="volume")
    volume.write(KEPT)
    scratch = Disk(world.directory, mib=2048, kind="volume")  # a training needs 1 GiB of it
    return Disks(xen=Disk(world.directory), nvme=Disk(world.directory), volume=volume, scratch=scratch)


@pytest.fixture(scope="session")
def cluster(world: World, launches: dict[str, Launch], board: PowerBoard, disks: Disks, figures: Figures) -> Cluster:
    """Boot driver, master and two workers for the first time.

    worker-1 is an r3 with instance store as Xen has it, worker-2 an r5d with one of NVMe, beside a foreign volume. The
    driver has a volume for scratch files, and the master nothing.
    """
    hardware = {
        "driver": Hardware(disks={"nvme1n1": disks.scratch}),
        "worker-1": Hardware(memory_mib=R3_MIB, disks={"xvdb": disks.xen}),
        "worker-2": Hardware(disks={"nvme1n1": disks.nvme, "nvme2n1": disks.volume}),
    }
    cluster = Cluster({name: world.launch(launch, hardware.get(name)) for name, launch in launches.items()})
    world.metadata.tags = board.tags
    for machine in cluster.machines.values():
        board.connect(machine)
    cluster.power_on()
    figures.add("first boot of 4 machines", cluster.wait_until_ready())
    return cluster


@pytest.fixture(scope="session")
def client(cluster: Cluster, site: Site, board: PowerBoard, world: World) -> Client:
    """Return a client with the cluster's pio-tf.hcl."""
    return Client(site, board, key=world.key)


@pytest.fixture(scope="session")
def services(world: World, cluster: Cluster) -> Iterator[LocalServices]:
    """Run the services that run all the time, by the names in pio-tf.hcl."""
    with LocalServices(host=str(world.gateway)) as services:
        cluster["driver"].sudo(f"sed -i '1i {world.gateway} es hbase hdfs' /etc/hosts")
        yield services


@pytest.fixture(scope="session")
def engine(cluster: Cluster, services: LocalServices, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Put the sample engine on the driver, which runs."""
    write_archive(mirror.directory, "engine.tgz", engine_files(tmp_path_factory.mktemp("engine")))
    cluster["driver"].run(f"curl -sf {mirror.url}/engine.tgz | tar -xz")


@pytest.fixture(scope="session")
def noted(cluster: Cluster, engine: None) -> dict[str, Left]:
    """Take notes about every machine before its first stop."""
    return {name: leave_marks(machine) for name, machine in cluster.machines.items()}


@pytest.fixture(scope="session")
def left(cluster: Cluster, client: Client, noted: dict[str, Left], disks: Disks, figures: Figures) -> dict[str, Left]:
    """Start all machines with pio-tf, after stops; return the notes from before.

    Tests before may have let them stop themselves. The NVMe disks of the second worker and of the driver have changed
    names, as they may.
    """
    client.run("down")
    assert not any(machine.is_on for machine in cluster.machines.values())
    cluster["worker-2"].change_hardware(Hardware(disks={"nvme1n1": disks.volume, "nvme2n1": disks.nvme}))
    cluster["driver"].change_hardware(Hardware(disks={"nvme3n1": disks.scratch}))
    with ThreadPoolExecutor() as executor:
        up = executor.submit(client.run, "up")
        wait_until(lambda: up.done() or all(machine.is_on for machine in cluster.machines.values()))
        if not up.done():
            figures.add("later boot of 4 machines", cluster.wait_until_ready())
        took, _ = up.result()
    figures.add_command("pio-tf up", took)
    return noted


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Collect the figures that the end of the run shows."""
    return request.config.stash[FIGURES]


def pytest_configure(config: pytest.Config) -> None:
    """Begin without any figures."""
    config.stash[FIGURES] = Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show how long machines took."""
    lines = config.stash[FIGURES].lines()
    if lines:
        terminalreporter.section("how long it took, from power-on")
        terminalreporter.write_line("\n".join(lines))
