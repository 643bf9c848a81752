"""Runs `pio-tf` as a fork of a process that has imported it already, and a sandbox's server as one of another.

A test's own program for it, ``python -c``, is forked, too.

The tests run `pio-tf` many hundreds of times. To import it, to build the grammar of pio-tf.hcl and to read the
descriptions of AWS's API takes a second of CPU each time; to import a sandbox's moto takes more. :class:`Program` is a
:class:`subprocess.Popen` that leaves this to a server, which forks itself for each command.

A fork is a real process: a child of the test's process, with its own arguments, environment, directory, streams,
session, signals and exit code. It differs from an executed one in three things: all forks of a server have one hash
seed, ``/proc`` shows the server's command line and first environment, and the fork ends after its exit handlers,
without taking its modules apart.

A command is executed as usual if its environment changes how Python starts. Tests of the start itself (imports, closed
streams, packaging) use :mod:`subprocess`. For scripts, :func:`write_program` writes a program that asks the server.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import io
import marshal
import os
import pickle
import pkgutil
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
PIO_TF = Path(sys.executable).with_name("pio-tf")

_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine()) if sys.platform == "linux" else None
"""The number of the system call that forks, on Linux."""
_CLONE_PARENT = 0x8000
_PR_SET_NAME = 15
_READ_AT_START = ("PYTHON", "TYPER_", "LD_", "OPENSSL_")
"""Prefixes of variables that Python and libraries read only once, as they start."""
_SET_IN_FORKS = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
"""Variables of Python that a fork follows, too."""
_ONLY_EXECUTED = {"executable", "pass_fds", "shell", "gid", "gids", "uid"}
"""Options of Popen that a fork does not have."""
_NOT_IMPORTED = ("pio_tf.sandbox", "pio_tf.infra.bundled")
"""What `pio-tf` does not import in its own process, or only with an extra."""
_IMPORTED_LATE = (
    *("rich.console", "rich.markup", "rich.table", "typer._adapters", "typer._click.decorators"),
    *("encodings.idna", "encodings.utf_8_sig", "importlib.readers", "importlib.resources.readers", "_strptime"),
)
"""What libraries import only when they are used: each command uses most of it."""
_SANDBOX = (sys.executable, "-m", "pio_tf.sandbox")
_CODE = (sys.executable, "-c")
_SERVICES = ("ec2", "s3", "sts", "scheduler", "iam", "cloudwatch", "ssm", "secretsmanager")
_ENVIRONMENT = dict(os.environ)
_ASKING_PROGRAM = """\
#!{python} -IS
# `pio-tf` as a fork, for scripts. This process passes on its streams, environment, directory and signals.
import _signal, _socket, marshal, os, sys

read = (name for name in os.environ if name.startswith({prefixes}) and name not in {followed})
started = {{name: os.environ[name] for name in read}}
started["LC_CTYPE"] = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG")
if started != {started}:
    os.execv({executed}, [{executed}, *sys.argv[1:]])
os.umask(umask := os.umask(0o077))
order = marshal.dumps(([os.fsencode(word) for word in sys.argv], os.getcwdb(), dict(os.environb), umask))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server = _socket.socket(_socket.AF_UNIX)
server.connect({address})
server.sendmsg([len(order).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(order)
pid = int.from_bytes(server.recv(4), "big")
for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
    _signal.signal(number, lambda number, _frame: os.kill(pid, number))
code = int.from_bytes(server.recv(4), "big", signed=True)
if code < 0:
    if -code != _signal.SIGKILL:
        _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""
"""It starts in 10 ms: without site, and with the C modules under socket and signal."""


@dataclass(frozen=True)
class _Order:
    """What a fork needs beside its three streams."""

    arguments: list[bytes]
    directory: bytes
    environment: dict[bytes, bytes]
    umask: int
    new_session: bool
    preexec_fn: Callable[[], object] | None


class Program(subprocess.Popen[Any]):
    """A command with the options of Popen. `pio-tf`, ``python -c`` and a sandbox's server are forked."""

    def _execute_child(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - Popen's own, which differ by version
        """Start the process as Popen does once its pipes are open."""
        execute: Callable[..., None] = super()._execute_child  # type: ignore[misc]
        options = inspect.signature(execute).bind(*given, **named).arguments
        environment = dict(os.environ if options["env"] is None else options["env"])
        if not _can_be_forked(options, environment):
            execute(*given, **named)
            return
        os.umask(umask := os.umask(0o077))
        order = _Order(
            arguments=[os.fsencode(argument) for argument in options["args"]],
            directory=os.fsencode(options["cwd"] or Path.cwd()),
            environment={os.fsencode(name): os.fsencode(value) for name, value in environment.items()},
            umask=umask,
            new_session=options["start_new_session"],
            preexec_fn=options["preexec_fn"],
        )
        pipes = [options[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        streams = [own if pipe == -1 else pipe for own, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        try:
            self.pid = _fork_server(sandbox=tuple(options["args"][:3]) == _SANDBOX).fork(order, streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], timeout: float, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a command without input, and return what it wrote to standard output and standard error."""
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    with Program(command, cwd=cwd, env=env, stdin=null, stdout=pipe, stderr=stderr, text=True) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def write_program(path: Path) -> None:
    """Write a program that is `pio-tf` for scripts: it asks the server for a fork, and ends as that does."""
    path.write_text(
        _ASKING_PROGRAM.format(
            python=sys.executable,
            prefixes=_READ_AT_START,
            followed=_SET_IN_FORKS,
            started=_read_at_start(_ENVIRONMENT),
            executed=repr(str(PIO_TF)),
            address=repr(str(_fork_server().address)),
        )
    )
    path.chmod(0o755)


def _can_be_forked(options: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    arguments = options["args"]
    return (
        _CLONE is not None
        and not isinstance(arguments, (str, bytes))
        and (arguments[0] == PIO_TF or tuple(arguments[:3]) == _SANDBOX or tuple(arguments[:2]) == _CODE)
        and not any(options.get(name) for name in _ONLY_EXECUTED)
        and _read_at_start(environment) == _read_at_start(_ENVIRONMENT)
    )


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str | None]:
    read = (name for name in environment if name.startswith(_READ_AT_START) and name not in _SET_IN_FORKS)
    characters = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG")
    return {**{name: environment[name] for name in read}, "LC_CTYPE": characters}


class ForkServer:
    """The process that forks. :meth:`close` ends it; what it has forked continues.

    Args:
        sandbox: it forks sandboxes' servers, and not `pio-tf`.
    """

    def __init__(self, *, sandbox: bool = False) -> None:
        self._lock = threading.Lock()
        self._directory = tempfile.TemporaryDirectory(prefix="pio-tf-forks-")
        self.address = Path(self._directory.name, "socket")
        """The socket for programs that :func:`write_program` has written."""
        self._connection, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.address))
            listener.listen()
            numbers = theirs.fileno(), listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from tests.support.fork_server import serve; serve(*{numbers}, {sandbox})"],
                cwd=ROOT,
                env=_ENVIRONMENT,
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
            )

    def fork(self, order: _Order, streams: Sequence[int]) -> int:
        """Fork a command, which becomes a child of this process. Return its process id."""
        text = pickle.dumps(order)
        with self._lock:
            socket.send_fds(self._connection, [struct.pack("!I", len(text))], streams)
            self._connection.sendall(text)
            (pid,) = struct.unpack("!I", _receive(self._connection, 4))
        return int(pid)

    def close(self) -> None:
        """End the server."""
        self._connection.close()
        self._process.wait()
        self._directory.cleanup()


@functools.cache
def _fork_server(*, sandbox: bool = False) -> ForkServer:
    server = ForkServer(sandbox=sandbox)
    atexit.register(server.close)
    return server


def serve(tests: int, listener: int, sandbox: bool) -> None:
    """Import `pio-tf` or a sandbox's server, and fork it for each order from the sockets with these descriptors."""
    sys.path[0] = str(PIO_TF.parent)  # as for a program in that directory
    ended: list[int] = []
    atexit.register(_leave, ended)  # before any other, so that it comes last
    gc.disable()
    (_import_sandbox if sandbox else _import_everything)()
    gc.freeze()  # or each fork would copy all of it when it looks for garbage
    gc.enable()
    order, streams = _next_fork(socket.socket(fileno=tests), socket.socket(fileno=listener))
    _become(order, streams)
    try:
        (_run_sandbox if sandbox else _run_code if tuple(sys.argv[:2]) == _CODE else _run_pio_tf)()
    except SystemExit as exiting:
        ended.append(int(exiting.code or 0))
        raise


def _run_pio_tf() -> None:
    from pio_tf.cli.main import main

    main()


def _run_code() -> None:
    code = sys.argv[2]
    sys.argv = ["-c", *sys.argv[3:]]
    sys.path[0] = ""
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - a test's
    sys.exit()


def _run_sandbox() -> None:
    from moto.moto_api._internal import mock_random

    from pio_tf.sandbox.server import main

    mock_random.seed()  # or every fork would have the same ids
    sys.exit(main(sys.argv[len(_SANDBOX) :]))


def _leave(ended: list[int]) -> None:
    """End a fork once its threads and its other exit handlers have ended.

    Python would take all that was imported apart, module by module: 80 ms of CPU.
    """
    if ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])


def _import_everything() -> None:
    import botocore.session
    from pydantic import BaseModel

    import pio_tf
    from pio_tf.aws.clients import own_handlers
    from pio_tf.aws.descriptions import shared_loader
    from pio_tf.config.hcl_tree import read_tree
    from tests.support.aws_descriptions import read_descriptions_once

    for module in pkgutil.walk_packages(pio_tf.__path__, "pio_tf."):
        if not module.name.startswith(_NOT_IMPORTED):
            importlib.import_module(module.name)
    for name in _IMPORTED_LATE:
        with contextlib.suppress(ImportError):  # some are private, or not in every version of Python
            importlib.import_module(name)
    for model in _subclasses(BaseModel):
        if model.__module__.startswith("pio_tf."):
            model.model_rebuild()
    read_tree('a = 1\nb "c" {\n  d = [true, "e"]\n}\n', environ={}, labelled={})
    read_descriptions_once()
    own_handlers()
    for service in _SERVICES:
        session = botocore.session.Session()
        session.register_component("data_loader", shared_loader(""))
        session.create_client(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")


def _import_sandbox() -> None:
    from tests.support.aws_descriptions import read_descriptions_once

    read_descriptions_once()
    importlib.import_module("pio_tf.sandbox.server")
    loader = importlib.import_module("botocore.session").create_loader()
    for service in _SERVICES:
        loader.load_service_model(service, "service-2")


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _next_fork(tests: socket.socket, listener: socket.socket) -> tuple[_Order, list[int]]:
    """Wait for an order, and return it in a fork of this process. End this process when the tests have ended.

    A fork for the tests is their child. One for a program is a child of this process, which tells the program its end.
    """
    programs: dict[int, tuple[int, socket.socket]] = {}
    while True:
        waited_for: list[int | socket.socket] = [tests, listener, *programs]
        for ready in select.select(waited_for, [], [])[0]:
            if isinstance(ready, int):
                pid, program = programs.pop(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with program, contextlib.suppress(BrokenPipeError):
                    program.sendall(struct.pack("!i", code))
                os.close(ready)
                continue
            asking = tests if ready is tests else listener.accept()[0]
            head, streams, _flags, _address = socket.recv_fds(asking, 4, 3)
            if not head:
                sys.exit()
            text = _receive(asking, *struct.unpack("!I", head))
            assert threading.active_count() == 1, "a fork has only the thread that forks"
            pid = _fork_sibling() if asking is tests else os.fork()
            if pid == 0:
                for one in (tests, listener, asking, *(program for _pid, program in programs.values())):
                    one.close()
                if asking is tests:
                    return pickle.loads(text), streams  # noqa: S301 - from the tests
                arguments, directory, environment, umask = marshal.loads(text)  # noqa: S302 - likewise
                return _Order(arguments, directory, environment, umask, new_session=False, preexec_fn=None), streams
            asking.sendall(struct.pack("!I", pid))
            for stream in streams:
                os.close(stream)
            if asking is not tests:
                programs[os.pidfd_open(pid)] = pid, asking


def _fork_sibling() -> int:
    """Fork a child of this process's parent, which can wait for it then. As for os.fork, return 0 in the child."""
    api = ctypes.pythonapi
    for hook in (api.PyOS_BeforeFork, api.PyOS_AfterFork_Child, api.PyOS_AfterFork_Parent):
        hook.restype = None
    api.PyOS_BeforeFork()
    pid = int(ctypes.PyDLL(None).syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    (api.PyOS_AfterFork_Parent if pid else api.PyOS_AfterFork_Child)()
    return pid


def _become(order: _Order, streams: Sequence[int]) -> None:
    """Make this fork what an executed process would be."""
    if order.new_session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, max(int(number) for number in os.listdir("/proc/self/fd")) + 1)  # noqa: PTH208 - numbers
    os.chdir(order.directory)
    os.umask(order.umask)
    os.environ.clear()
    os.environb.update(order.environment)
    time.tzset()
    sys.argv = [os.fsdecode(argument) for argument in order.arguments]
    unbuffered, sys.dont_write_bytecode = (bool(os.environ.get(name)) for name in _SET_IN_FORKS)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, os.fsencode(Path(sys.argv[0]).name), 0, 0, 0)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        binary = open(number, "wb" if number else "rb", buffering=0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        lines = number == 2 or binary.isatty()
        new = io.TextIOWrapper(binary, old.encoding, old.errors, "\n", line_buffering=lines, write_through=unbuffered)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    if order.preexec_fn is not None:
        order.preexec_fn()


def _receive(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError("the fork server has ended")
        parts += part
    return parts
