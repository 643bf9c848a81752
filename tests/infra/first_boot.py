"""The script that prepares a machine, run for real.

It runs on copies of the machine's directories that are thrown away (a mount namespace with overlays), in its own
process namespace. Stand-ins replace only systemd, apt and sysctl.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tarfile
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pio_tf.config.components import Component
from pio_tf.infra.bootstrap import Settings, render_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.model import Role

_OWN = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
UNSHARE = ["/usr/bin/unshare", *_OWN]
if os.geteuid() != 0:
    UNSHARE = ["/usr/bin/unshare", "--map-root-user", *_OWN]

OVERLAID = ("/etc", "/var/lib", "/var/log", "/home")
EMPTIED = ("/usr/local", "/opt", "/run")
"""Whatever the host has there is not the machine's."""
_NAMESPACE = """\
set -eu
mount -t tmpfs none {scratch}
for directory in {overlaid}; do
  mkdir -p {scratch}/upper$directory {scratch}/work$directory
  mount -t overlay none $directory \\
    -o lowerdir=$directory,upperdir={scratch}/upper$directory,workdir={scratch}/work$directory
done
for directory in {emptied}; do
  mount -t tmpfs none $directory
done
rm -rf /var/lib/pio-tf /etc/pio-tf
mkdir -p /usr/local/bin /usr/local/sbin /etc/systemd/system /etc/pio-tf
# No disk of the host's is an instance store.
touch /etc/pio-tf/instance-store
cp {bin}/* /usr/local/bin/
export PIO_TF_CONSOLE={directory}/console
touch $PIO_TF_CONSOLE
export PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
"""
_SYSTEMCTL = """\
#!/bin/bash
echo "systemctl $*" >> {log}
case "$*" in
list-unit-files*) cat /etc/enabled-units 2>/dev/null || true ;;
is-active*) test -e /etc/spark-is-active ;;
esac
"""
_STAND_INS = {
    "java": "#!/bin/bash\necho 'openjdk version \"1.8.0_402\"' >&2\n",
    "sysctl": "#!/bin/bash\n",
    "apt-get": "#!/bin/bash\necho 'E: Unable to locate package' >&2\n[ \"${!#}\" = update ]\n",
    "apt-cache": "#!/bin/bash\n",
    "sleep": "#!/bin/bash\n",
}

FILES = {
    "java": ("bin/java",),
    "spark": ("bin/spark-class", "conf/log4j.template"),
    "hadoop": ("bin/hadoop", "etc/hadoop/hadoop-env.sh"),
    "hbase": ("bin/hbase", "conf/hbase-env.sh"),
    "pio": ("bin/pio", "conf/pio-env.sh.template"),
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


def archive(name: str, version: str, *, files: dict[str, str] | None = None) -> bytes:
    """Make a small archive with the layout of a component's."""
    contents = files if files is not None else dict.fromkeys(FILES[name], f"#!/bin/bash\necho {name} {version}\n")
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in contents.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass(frozen=True)
class Mirror:
    """A web server with components."""

    directory: Path
    url: str

    def component(
        self, name: str, version: str, *, files: dict[str, str] | None = None, at: str | None = None
    ) -> Component:
        """Put an archive there; the component that installs it."""
        content = archive(name, version, files=files)
        path = at or f"{name}-{version}.tgz"
        (self.directory / path).write_bytes(content)
        return Component(
            name=name,
            version=version,
            home=f"/usr/local/{name}",
            path=path,
            sha512=hashlib.sha512(content).hexdigest(),
            urls=(f"{self.url}/{path}",),
        )


@contextlib.contextmanager
def serve(directory: Path) -> Iterator[str]:
    """Serve a directory; yield the address of the web server."""
    directory.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Machine:
    """A machine that is gone after each :meth:`run`."""

    directory: Path
    mirror: Mirror

    def __post_init__(self) -> None:
        (self.directory / "bin").mkdir(exist_ok=True)
        (self.directory / "scratch").mkdir(exist_ok=True)
        stand_ins = {**_STAND_INS, "systemctl": _SYSTEMCTL.format(log=self.directory / "systemctl.log")}
        for name, text in stand_ins.items():
            (self.directory / "bin" / name).write_text(text)
            (self.directory / "bin" / name).chmod(0o755)

    @property
    def systemctl(self) -> str:
        """The requests to systemd."""
        return (self.directory / "systemctl.log").read_text()

    @property
    def console(self) -> str:
        """The text on its console."""
        return (self.directory / "console").read_text()

    def settings(self, role: Role, **changes: object) -> Settings:
        """Return the settings of a machine in a small cluster."""
        settings = Settings(
            role=role,
            ssh_user="root",
            service_user="aml",
            region="us-east-1",
            components=(),
            hosts={"driver": "127.77.0.10", "spark-master": "127.77.0.11"},
            master_host="127.77.0.11" if role == "worker" else "-",
            elasticsearch_name="searches",
        )
        if "components" not in changes:
            changes["components"] = (self.mirror.component("spark", "2.4.8"),)
        return replace(settings, **changes)

    def script(self, settings: Settings, name: str = "user-data") -> Path:
        """Write the script into a file."""
        path = self.directory / name
        path.write_text(render_script(settings))
        path.chmod(0o755)
        return path

    def run(self, program: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
        """Run a shell program on a new machine. It ends with the first command that fails."""
        head = _NAMESPACE.format(
            scratch=self.directory / "scratch",
            overlaid=" ".join(OVERLAID),
            emptied=" ".join(EMPTIED),
            bin=self.directory / "bin",
            directory=self.directory,
        )
        return subprocess.run(
            [*UNSHARE, "/bin/bash", "-c", head + before + program],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def boot(self, role: Role, *, then: str = "true", before: str = "", **changes: object) -> str:
        """Boot for the first time, once more, and run ``then``; what that has printed.

        Raises:
            AssertionError: something has failed.
        """
        script = self.script(self.settings(role, **changes))
        # The second is what systemd does with the unit that the script has installed, where it has to.
        done = self.run(f"{script}\n/usr/local/sbin/pio-tf-bootstrap run\necho ==then==\n{then}", before=before)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("==then==\n")[2]

    def fail(self, role: Role, *, before: str = "", **changes: object) -> str:
        """Boot for the first time, which must fail; what failed.json says."""
        script = self.script(self.settings(role, **changes))
        done = self.run(f"{script} && exit 1\ncat /var/lib/pio-tf/failed.json >&2", before=before)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]
