"""The file of pinned host keys."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.errors import RemoteError
from pio_tf.remote.known_hosts import KnownHosts, Pin

if TYPE_CHECKING:
    from pathlib import Path


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind).convert_to_public()


@pytest.fixture
def file(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "work" / "known_hosts")


def test_a_pin_is_read_back_with_the_way_it_was_learned(file: KnownHosts) -> None:
    keys = [new_key(), new_key("ecdsa-sha2-nistp256"), new_key("ssh-rsa")]
    assert file.pins() == ()
    assert file.pin("i-1", keys[0], "first use")
    assert file.pin("i-2", keys[1], "console")
    file.replace("[jump]:22", keys[2], "accepted")
    assert file.pins() == (
        Pin("i-1", keys[0], "first use"),
        Pin("i-2", keys[1], "console"),
        Pin("[jump]:22", keys[2], "accepted"),
    )
    assert file.keys("i-2") == (keys[1],)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_pin_of_an_earlier_version_says_nothing_of_itself_and_was_a_first_use(file: KnownHosts) -> None:
    key = new_key()
    file.path.parent.mkdir()
    file.path.write_text(f"# by hand\n\ni-1 {key.export_public_key().decode()}")
    assert file.pins() == (Pin("i-1", key, "first use"),)


def test_another_key_is_never_pinned_beside_the_first(file: KnownHosts) -> None:
    first, other = new_key(), new_key()
    assert file.pin("i-1", first, "first use")
    assert not file.pin("i-1", other, "first use")
    assert file.pin("i-1", first, "console")
    assert file.pins() == (Pin("i-1", first, "first use"),)


def test_a_replacement_leaves_the_other_machines_keys(file: KnownHosts) -> None:
    old, new, other = new_key(), new_key(), new_key()
    file.pin("i-1", old, "first use")
    file.pin("i-11", other, "console")
    file.replace("i-1", new, "accepted")
    assert set(file.pins()) == {Pin("i-1", new, "accepted"), Pin("i-11", other, "console")}


def test_many_clients_at_once_lose_no_pin(file: KnownHosts) -> None:
    program = (
        "import sys, asyncssh\n"
        "from pathlib import Path\n"
        "from pio_tf.remote.known_hosts import KnownHosts\n"
        "file, client = KnownHosts(Path(sys.argv[1])), sys.argv[2]\n"
        "key = asyncssh.generate_private_key('ssh-ed25519').convert_to_public()\n"
        "for n in range(40):\n"
        "    file.pin(f'i-{client}-{n}', key, 'first use')\n"
        "    file.replace(f'i-{client}-{n // 2}', key, 'accepted')\n"
    )

    def client(number: int) -> None:
        subprocess.run([sys.executable, "-c", program, str(file.path), str(number)], check=True)

    with ThreadPoolExecutor(3) as clients:
        list(clients.map(client, range(3)))
    assert {pin.name for pin in file.pins()} == {f"i-{client}-{n}" for client in range(3) for n in range(40)}


def test_a_line_that_holds_no_key_is_told_rather_than_passed_over(file: KnownHosts) -> None:
    key = new_key()
    file.pin("i-1", key, "first use")
    file.path.write_text(file.path.read_text() + "i-2 ssh-ed25519 AAAAC3Nz\n")
    assert file.keys("i-1") == (key,)
    with pytest.raises(RemoteError, match="the line of i-2 contains no host key"):
        file.keys("i-2")
