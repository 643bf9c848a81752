"""The script of a machine's first boot, run for real: on copies of /etc, /usr/local, /opt and /var/lib that are thrown
away (a mount namespace with overlays), with a web server for Spark. Only systemd and apt are stood in for."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tarfile
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.stack import find_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSHARE = ["/usr/bin/unshare", "--mount", "--propagation", "private"]
if os.geteuid() != 0:
    UNSHARE = ["/usr/bin/unshare", "--map-root-user", *UNSHARE[1:]]

pytestmark = pytest.mark.skipif(
    subprocess.run([*UNSHARE, "/bin/true"], capture_output=True, check=False).returncode != 0,
    reason="needs mount namespaces: Linux, as root or with user namespaces",
)

_NAMESPACE = """\
set -eu
mount -t tmpfs none {scratch}
for directory in /etc /usr/local /opt /var/lib; do
  mkdir -p {scratch}/upper$directory {scratch}/work$directory
  mount -t overlay none $directory \\
    -o lowerdir=$directory,upperdir={scratch}/upper$directory,workdir={scratch}/work$directory
done
mkdir -p /usr/local/bin /etc/systemd/system
# Whatever the host has at this place is not the machine's.
rm -rf /opt/spark /usr/local/spark /var/lib/pio-tf
cp {bin}/* /usr/local/bin/
export PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
"""

_SYSTEMCTL = """\
#!/bin/bash
echo "systemctl $*" >> {log}
"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@dataclass(frozen=True)
class Boot:
    """Runs the script as cloud-init would, on a machine that is gone afterwards."""

    directory: Path
    url: str
    sha512: str

    def run(
        self, role: str, *, then: str, sha512: str | None = None, before: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Boot twice, as a first and a later boot; then run ``then`` on the machine and return its output."""
        settings = {
            "ROLE": role,
            "SSH_USER": "root",
            "SPARK_HOME": "/usr/local/spark",
            "SPARK_VERSION": "2.4.8",
            "SPARK_URL": f"{self.url}/spark.tgz",
            "SPARK_SHA512": sha512 or self.sha512,
            "MASTER_HOST": "127.77.0.11" if role == "worker" else "-",
            "MASTER_PORT": "7077",
            "MASTER_UI_PORT": "8080",
        }
        script = self.directory / "user-data"
        script.write_text(
            "#!/bin/bash\n"
            + "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
            + (find_modules() / "bootstrap" / "bootstrap.sh").read_text()
        )
        script.chmod(0o755)
        scratch = self.directory / "scratch"
        scratch.mkdir(exist_ok=True)
        program = _NAMESPACE.format(scratch=scratch, bin=self.directory / "bin") + before
        # What systemd would do with the unit that the script has installed: run it.
        boots = f"{script}\n/usr/local/sbin/pio-tf-bootstrap\n{script}\n/usr/local/sbin/pio-tf-bootstrap\n"
        return subprocess.run(
            [*UNSHARE, "/bin/bash", "-c", program + boots + then],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    archive = tmp_path / "www" / "spark.tgz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name, text, mode in (("bin/spark-class", "#!/bin/bash\n", 0o755), ("conf/log4j.template", "", 0o644)):
            member = tarfile.TarInfo(f"spark-2.4.8-bin-hadoop2.7/{name}")
            member.size, member.mode = len(text), mode
            tar.addfile(member, BytesIO(text.encode()))
    (tmp_path / "bin").mkdir()
    stand_ins = {"systemctl": _SYSTEMCTL.format(log=tmp_path / "systemctl.log"), "java": "#!/bin/bash\n"}
    for name, text in stand_ins.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(archive.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        digest = hashlib.sha512(archive.read_bytes()).hexdigest()
        yield Boot(tmp_path, f"http://127.0.0.1:{server.server_address[1]}", digest)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_worker_gets_spark_and_a_unit_that_joins_the_master(boot: Boot) -> None:
    done = boot.run("worker", then="cat /etc/systemd/system/pio-tf-spark.service; readlink /usr/local/spark")
    assert done.returncode == 0, done.stderr
    assert "org.apache.spark.deploy.worker.Worker --host" in done.stdout
    assert "spark://127.77.0.11:7077" in done.stdout
    assert "spark.worker.cleanup.enabled=true" in done.stdout
    assert done.stdout.endswith("/opt/spark/2.4.8\n")
    assert "enable pio-tf-spark.service" in (boot.directory / "systemctl.log").read_text()


def test_the_master_listens_where_the_stack_says(boot: Boot) -> None:
    done = boot.run("master", then="cat /etc/systemd/system/pio-tf-spark.service")
    assert done.returncode == 0, done.stderr
    assert "org.apache.spark.deploy.master.Master --host" in done.stdout
    assert "--port 7077 --webui-port 8080" in done.stdout


def test_the_driver_runs_no_service_and_its_user_may_write_the_configuration_of_spark(boot: Boot) -> None:
    done = boot.run("driver", then="ls /etc/systemd/system; stat -c %U:%a /usr/local/spark/conf")
    assert done.returncode == 0, done.stderr
    assert "pio-tf-bootstrap.service" in done.stdout
    assert "pio-tf-spark" not in done.stdout
    assert done.stdout.endswith("root:755\n")


def test_an_archive_that_is_not_the_expected_one_is_not_installed(boot: Boot) -> None:
    done = boot.run("driver", sha512="0" * 128, then="ls /usr/local/spark")
    assert done.returncode != 0
    assert "SHA-512" in done.stdout + done.stderr


def test_a_spark_that_the_image_brings_is_left_alone(boot: Boot) -> None:
    done = boot.run(
        "driver",
        before="mkdir -p /usr/local/spark/bin\necho own > /usr/local/spark/bin/spark-class\n"
        "chmod +x /usr/local/spark/bin/spark-class\n",
        then="cat /usr/local/spark/bin/spark-class; ls /opt/spark",
    )
    assert "own\n" in done.stdout
    assert "2.4.8" not in done.stdout.partition("own\n")[2]


def test_the_host_is_left_as_it_was(boot: Boot) -> None:
    boot.run("worker", then="true")
    assert not Path("/etc/systemd/system/pio-tf-spark.service").exists()
    assert not Path("/usr/local/sbin/pio-tf-bootstrap").exists()
