"""Machines that are there get another version, or go back to the one before, by `pio-tf provision`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.components import archive_path
from tests.real_machines.software import HADOOP, VERSIONS, write_archive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.machine import Machine
    from tests.real_machines.mirror import Mirror
    from tests.real_machines.software import Archive


OLD, NEW = VERSIONS["hadoop"], "2.7.3"


def test_a_new_version_comes_beside_the_old_and_goes_again_by_its_link(
    cluster: Cluster, client: Client, mirror: Mirror, archives: dict[str, Archive]
) -> None:
    driver = cluster["driver"]
    line = f'sha512 = "{archives["hadoop"].sha512}"'

    def newer(files: Mapping[str, bytes]) -> AbstractContextManager[None]:
        """Request another version in pio-tf.hcl, with an archive of these files."""
        archive = write_archive(mirror.directory, archive_path("hadoop", NEW), files)
        return client.edited(line, f'version = "{NEW}"\n    sha512 = "{archive.sha512}"')

    with newer({"README": b"not a client\n"}):
        _, said = client.run("provision", "driver", exit_code=1)
    assert "holds no hadoop (no bin/hadoop)" in said
    assert link(driver) == f"/opt/hadoop/{OLD}"

    with newer(HADOOP):
        _, said = client.run("provision", "driver")
        assert f"hadoop {NEW}" in said
        assert link(driver) == f"/opt/hadoop/{NEW}"
        assert set(driver.run("ls /opt/hadoop").split()) == {OLD, NEW}
        client.run("provision", "--rollback", "hadoop")
    assert link(driver) == f"/opt/hadoop/{OLD}"


def link(machine: Machine) -> str:
    return machine.run("readlink /usr/local/hadoop").strip()
