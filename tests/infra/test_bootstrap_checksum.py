"""A machine reads the checksums that Apache publishes as `pio-tf mirror fetch` does, in bash."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.root_module import find_modules
from tests.support.checksums import HASH, grouped

if TYPE_CHECKING:
    from pathlib import Path

NAME = "hbase-1.2.6-bin.tar.gz"
MDS = "".join(
    f"{NAME}: {kind} = {grouped(digest, size)}\n"
    for kind, digest, size in (
        ("   MD5", "a" * 32, 2),
        ("  SHA1", "b" * 40, 4),
        ("SHA256", "c" * 64, 8),
        ("SHA384", "d" * 96, 8),
        ("SHA512", HASH, 8),
    )
)


def bash(program: str, **environ: str) -> subprocess.CompletedProcess[str]:
    source = find_modules() / "bootstrap" / "install.sh"
    return subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail\nsource {source}\n{program}"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{HASH}  {NAME}\n",
        f"{HASH.upper()} *{NAME}\n",
        f"{HASH}\n",
        f"SHA512 ({NAME}) = {HASH}\n",
        f"{NAME}: {grouped(HASH, 8)}\n",
        MDS,
        f"{MDS}apache-another.tar.gz: MD5 = aa bb\n",
    ],
)
def test_a_published_checksum_is_read_whatever_wrote_it(text: str) -> None:
    assert bash(f"read_sha512 <<'END'\n{text}\nEND").stdout == f"{HASH}\n"


@pytest.mark.parametrize("text", ["", "<html>404: Not Found</html>", f"{'a' * 64}  short.tgz", f"{NAME}: {HASH[:-8]}"])
def test_what_is_no_checksum_is_refused(text: str) -> None:
    done = bash(f"read_sha512 <<'END'\n{text}\nEND")
    assert (done.stdout, done.returncode) == ("", 1)


@pytest.fixture
def curl(tmp_path: Path) -> Path:
    """Make a `curl` that reads files of a directory, by the last part of the address."""
    program = tmp_path / "bin" / "curl"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/bash\nurl=${!#}\necho "$url" >> "$ASKED"\n'
        "cat \"$HAS/${url##*/}\" 2>/dev/null || { echo 'curl: (22) error: 404' >&2; exit 22; }\n"
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("suffix", [".sha512", ".mds", ".sha"])
def test_a_checksum_is_found_under_each_of_apaches_names(curl: Path, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"{NAME}{suffix}").write_text(MDS)
    environ = {"PATH": f"{curl.parent}:/usr/bin:/bin", "HAS": str(tmp_path), "ASKED": str(tmp_path / "asked")}
    done = bash(f"published https://apache.example/{NAME}.sha512", **environ)
    assert done.stdout == f"{HASH}\n"


def test_where_nothing_is_published_every_address_is_named(curl: Path, tmp_path: Path) -> None:
    environ = {"PATH": f"{curl.parent}:/usr/bin:/bin", "HAS": str(tmp_path), "ASKED": str(tmp_path / "asked")}
    done = bash(f"published https://apache.example/{NAME}.sha512", **environ)
    assert done.returncode == 1
    assert all(f"{NAME}{suffix}: curl: (22)" in done.stdout for suffix in (".sha512", ".mds", ".sha"))
    assert "give one in pio-tf.hcl" in done.stdout


def test_a_checksum_is_not_taken_over_plain_http(curl: Path, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.sha512").write_text(f"{HASH}\n")
    asked = tmp_path / "asked"
    environ = {"PATH": f"{curl.parent}:/usr/bin:/bin", "HAS": str(tmp_path), "ASKED": str(asked)}
    assert bash(f"published http://apache.example/{NAME}.sha512", **environ).returncode == 1
    assert not asked.exists()
