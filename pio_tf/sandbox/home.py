"""A machine's disk at boot: Java, Spark, and on a driver the stand-in for PredictionIO."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import SandboxError
from pio_tf.infra.root_module import find_modules
from pio_tf.sandbox.class_archive import QUICK
from pio_tf.sandbox.layout import CONSOLE, POWER_OFF, SCHEDULE_MARK
from pio_tf.sandbox.pio.jars import write_jars
from pio_tf.sandbox.pio_program import ENGINE, PioProgram, lay_out_program
from pio_tf.sandbox.processes import MARK
from pio_tf.sandbox.sample import write_events
from pio_tf.sandbox.software import Software, find_software

if TYPE_CHECKING:
    from pio_tf.model import Role

_STAND_IN = Path(__file__).parent / "pio"
_DAEMON_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""Options of JVMs that run for seconds or only wait: the quickest start and the fewest threads."""


class MachineFiles:
    """The files of a machine, all under ``root``.

    Args:
        bare: whether no software is installed: it waits beside the home directory, for a user who installs it.
    """

    def __init__(self, root: Path, *, bare: bool = False) -> None:
        self.root = root
        self.home = root / "home"  # home directory of the SSH user
        self.software = root / "software" if bare else self.home  # Spark; on a driver, PredictionIO and an engine
        self.power_off = root / POWER_OFF  # appears when the machine powers itself off
        self.follow_driver = root / "follow-driver"  # the script of a master or worker that a timer runs
        self.scheduled_unit = root / "scheduled.service"  # the unit of a driver that runs at each boot
        self.schedule_mark = root / SCHEDULE_MARK  # the tag that the metadata service shows
        self.system = root / "system"  # the root of the files that this script reads and writes
        self.taken_over = self.home / ".pio-tf" / "taken"  # by the boot id, which is this computer's at every boot here
        self.host_key = root / "ssh_host_ed25519_key"  # the SSH server's private key
        self.console = root / CONSOLE
        self.temporary = root / "tmp"  # its /tmp: emptied at every boot
        self.work = root / "work"  # Spark's work directory: executors' logs
        self.spark_log = root / "spark.log"  # output of the Spark master or worker
        self.spark_pid = root / "spark.pid"  # its process, while it runs
        self.spark_settings = root / "spark" / "spark.conf"  # its settings, which come with the cluster's secret
        self.java = root / "java"  # JAVA_HOME
        self.programs = root / "bin"  # goes before the computer's own programs on PATH
        self.spark = self.software / "spark"  # SPARK_HOME
        self.spark_daemon = self.programs / "spark-daemon"  # starts a master or worker

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment of a login, without any variable of the host."""
        return {
            "HOME": str(self.home),
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PATH": f"{self.programs}:{self.java}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TMPDIR": str(self.temporary),
            MARK: str(self.root),
        }


def lay_out(files: MachineFiles, *, role: Role | None, address: str, software: Software | None = None) -> None:
    """Create missing files and renew the sandbox's own. A user's files stay.

    Args:
        role: None: no machine of a cluster that pio-tf made. It may become any.

    Raises:
        SandboxError: Spark or Java is not installed, or a file cannot be written.
    """
    software = software or find_software()
    try:
        if files.temporary.exists():
            shutil.rmtree(files.temporary)
        system = [files.system / name for name in ("proc", "dev", "run", "var/log")]
        for directory in (files.home, files.temporary, files.work, files.spark / "conf", *system):
            directory.mkdir(parents=True, exist_ok=True)
        _lay_out_java(files, software)
        _lay_out_profile(files)
        modules, root = shlex.quote(str(find_modules())), shlex.quote(str(files.root))
        sudo = _program("sudo").replace("@modules@", modules).replace("@root@", root)
        _write(files.programs / "sudo", sudo, mode=0o755)
        _write(files.programs / "curl", metadata_program(files), mode=0o755)
        shutil.rmtree(files.system / "run" / "pio-tf", ignore_errors=True)
        power_off = shlex.quote(str(files.power_off))
        _write(files.programs / "systemctl", f'#!/bin/sh\n[ "$*" = poweroff ] && : >{power_off}\n', mode=0o755)
        files.spark_pid.unlink(missing_ok=True)
        files.power_off.unlink(missing_ok=True)
        files.taken_over.unlink(missing_ok=True)
        _lay_out_spark(files, software, role=role, address=address)
        if role in ("driver", None):
            _lay_out_pio(files.software, software.pio)
    except OSError as error:
        raise SandboxError(f"cannot prepare the disk of {address}", cause=str(error)) from error


def metadata_program(files: MachineFiles) -> str:
    """Return the machine's `curl`, which answers for EC2's metadata service."""
    return _program("curl").replace("@root@", shlex.quote(str(files.root))).replace("@mark@", SCHEDULE_MARK)


def _program(name: str) -> str:
    return (Path(__file__).parent / "programs" / f"{name}.sh").read_text(encoding="utf-8")


def _lay_out_java(files: MachineFiles, software: Software) -> None:
    """Make a JAVA_HOME with a ``java`` that keeps temporary files on this machine's disk, and starts fast.

    With JAVA_TOOL_OPTIONS instead, every JVM would print a line about its options.
    """
    for entry in software.java.iterdir():
        if entry.name != "bin":
            _link(files.java / entry.name, entry)
    options = (*QUICK, *software.java_options, f"-Djava.io.tmpdir={files.temporary}")
    command = shlex.join([str(software.java / "bin" / "java"), *options])
    conf = shlex.quote(f"{files.spark}/conf/")
    _write(
        files.java / "bin" / "java", _program("java").replace("@conf@", conf).replace("@command@", command), mode=0o755
    )


def _lay_out_profile(files: MachineFiles) -> None:
    """Write the file that a login shell reads last, because this computer's /etc/profile has replaced PATH."""
    profile = files.home / ".profile"
    if not profile.exists():
        _write(
            profile,
            f'export JAVA_HOME={shlex.quote(str(files.java))}\nexport PATH="$JAVA_HOME/bin:$PATH"\n'
            f'export PATH={shlex.quote(str(files.programs))}:"$PATH"\n',
        )


def _lay_out_spark(files: MachineFiles, software: Software, *, role: Role | None, address: str) -> None:
    """Make a SPARK_HOME of Spark's files and the machine's own conf directory."""
    for name, directory in software.spark.items():
        _link(files.spark / name, directory)
    if software.spark_class is not None:
        _write(files.spark / "bin" / "spark-class", software.spark_class, mode=0o755)
    _write(files.spark_daemon, _program("spark-daemon").replace("@spark@", shlex.quote(str(files.spark))), mode=0o755)
    release = f"Spark {software.spark_version} built for the sandbox (from {software.origin})\n"
    _write(files.spark / "RELEASE", release)
    settings = {
        "JAVA_HOME": files.java,
        "SPARK_LOCAL_IP": address,
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": _DAEMON_OPTIONS,
        "SPARK_LAUNCHER_OPTS": _DAEMON_OPTIONS,
        "SPARK_WORKER_OPTS": "-Dspark.worker.cleanup.enabled=true",
        "PYSPARK_PYTHON": sys.executable,
    }
    lines = [f"{name}={shlex.quote(str(value))}" for name, value in settings.items()]
    _write(files.spark / "conf" / "spark-env.sh", "\n".join(["# The sandbox's. Written at every boot.", *lines, ""]))
    if role in ("driver", None):
        shutil.copyfile(_STAND_IN / "log4j2.properties", files.spark / "conf" / "log4j2.properties")


def _lay_out_pio(directory: Path, program: PioProgram | None) -> None:
    """Write the stand-in for PredictionIO, and at the first boot a sample engine that is built."""
    pio, engine = directory / "pio", directory / "engine"
    (pio / "conf").mkdir(parents=True, exist_ok=True)
    _write(pio / "bin" / "pio", (_STAND_IN / "bin" / "pio").read_text(encoding="utf-8"), mode=0o755)
    for path in _STAND_IN.glob("[!_]*.py"):
        _write(pio / "lib" / path.name, path.read_text(encoding="utf-8"))
    if program is not None:
        lay_out_program(pio, program)
    # The Python of the sandbox, whatever the machine's PATH has.
    _write(pio / "lib" / "python", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', mode=0o755)
    if not engine.exists():
        unfinished = directory / ".engine.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(_STAND_IN / "engine", unfinished)
        write_events(unfinished / "events.jsonl")
        write_jars(unfinished, name=engine.name, classes=pio / "lib" / ENGINE if program else None)
        unfinished.rename(engine)


def _link(link: Path, target: Path) -> None:
    """Make a symbolic link, or repair one that points to another Python environment."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file in one step, because a running program may have it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text, mode=mode)
