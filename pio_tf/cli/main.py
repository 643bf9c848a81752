"""The entry point: runs one command, and turns errors and signals into one message and an exit code."""

from __future__ import annotations

import errno
import gc
import io
import os
import re
import signal
import sys
from types import FrameType
from typing import TextIO

from pio_tf.errors import ConfigError, Interrupted, PioTfError

_received: list[int] = []
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR)
"""Problems with this computer's disk or permissions, which are no bugs of pio-tf."""
_OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""A command keeps the modules and the descriptions of AWS's API that it loads first. To search them for garbage every
700 objects, as Python does, takes half of the time of a short command. Those of a training are 150,000."""


def main() -> None:
    """Run ``pio-tf``. Exit codes are those of :mod:`pio_tf.errors`; 2 also stands for wrong usage."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    _prepare_streams()
    # A shell starts background jobs of a script with SIGINT ignored, with which pio-tf interrupts itself and Terraform.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGHUP, _terminate)
    # pydantic would read the metadata of all installed packages in search of plugins, 0.01 s. pio-tf uses none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = _run()
    _hand_on(code)
    try:
        sys.stdout.flush()
    except OSError:  # no reader, no space: Python would complain on its way out, and end with 120
        _discard(sys.stdout)
    gc.freeze()  # or Python would search all of it once more before it ends
    sys.exit(code)


def _run() -> int:
    """Run the command. Return its exit code."""
    from pio_tf.cli.app import app

    try:
        app(prog_name="pio-tf", standalone_mode=True)
    except PioTfError as error:
        _say(error, error)
        return error.exit_code
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        # Typer turns every KeyboardInterrupt into 130, Ctrl-C's code; other signals have their own.
        number = _received[-1] if _received else signal.SIGINT
        reported = _typer_error(ended, code, number)
        if reported is not None and (_has_option("--json") or _in_ci()):
            _say(reported, ended)
        elif reported is not None:
            _show_traceback(ended)
        return 128 + number if code == 130 else code
    except Exception as error:  # noqa: BLE001 - the one place where a surprise becomes a report
        _say(_unusable_file(error) or _unwritten_output(error) or _crash_report(error), error)
        # The failed write may be that of Typer's own message about wrong usage.
        return getattr(error.__context__, "exit_code", 1) if isinstance(error, OSError) else 1
    return 0


def _prepare_streams() -> None:
    """Open the closed streams, and let all take any text: a name out of bytes, too, in any encoding.

    A closed stream (``pio-tf up >&-``) goes to /dev/null, or the next file opened would take its place.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in ("COLUMNS", "LINES"):  # rich reads any digits as a number: also "²", and thousands of them
        if not re.fullmatch("[0-9]{1,5}", os.environ.get(name, "0")):
            del os.environ[name]


def _typer_error(ended: SystemExit, code: int, number: int) -> PioTfError | None:
    """Return an error that Typer has reported, if at all, to a person only: for programs and CI logs."""
    before: BaseException | None = ended
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            return Interrupted(
                f"interrupted by {signal.Signals(number).name}",
                signal_number=number,
                next_step="see which machines are running: `pio-tf status`",
            )
        if code == ConfigError.exit_code and hasattr(before, "format_message"):
            return ConfigError(str(before.format_message()), next_step="see commands and options: `pio-tf --help`")
        before = before.__cause__ or before.__context__
    return None


def _hand_on(code: int) -> None:
    """Tell the next steps of a CI job the exit code: a step that may fail has no other way to know it."""
    from pio_tf.cli.ci_output import in_github

    if in_github():
        from pio_tf.cli.github import append, output_entry

        append("GITHUB_OUTPUT", output_entry("exit", code))


def _terminate(number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM, and SIGHUP of a closed terminal, end a command exactly as Ctrl-C does.

    Machines are stopped and locks released. Only the exit code is their own: 143, 129.
    """
    _received.append(number)
    signal.raise_signal(signal.SIGINT)


def _say(error: PioTfError, raised: BaseException) -> None:
    from pio_tf.cli.app import command_name
    from pio_tf.cli.output import Output

    _show_traceback(raised)
    try:
        Output(json=_has_option("--json"), command=command_name(sys.argv)).error(error)
    except OSError:  # no reader, no space: the exit code has to do
        _discard(sys.stdout, sys.stderr)


def _show_traceback(raised: BaseException) -> None:
    if _has_option("--debug"):
        import contextlib
        import traceback

        with contextlib.suppress(OSError):
            traceback.print_exception(raised)


def _has_option(option: str) -> bool:
    """Return whether the command line has an option, even if Typer could not read it. Spark's do not count."""
    ours, _, _spark = " ".join(sys.argv[1:]).partition(" -- ")
    return option in ours.split()


def _in_ci() -> bool:
    from pio_tf.cli.ci_output import in_ci

    return in_ci()


def _discard(*streams: TextIO) -> None:
    from pio_tf.cli.output import discard

    discard(*streams)


def _unusable_file(error: Exception) -> PioTfError | None:
    if not isinstance(error, OSError) or error.filename is None or error.errno not in _UNUSABLE:
        return None
    return PioTfError(
        f"cannot use {error.filename}",
        cause=str(error.strerror),
        next_step=f"check its permissions and the free space of its disk: ls -ld {error.filename}; df -h. "
        "See which machines are running: `pio-tf status`",
    )


def _unwritten_output(error: Exception) -> PioTfError | None:
    """Return the error for standard output or standard error on a disk without space."""
    if not isinstance(error, OSError) or error.filename is not None or error.errno not in _UNUSABLE:
        return None
    return PioTfError(
        "could not write the output",
        cause=str(error.strerror),
        next_step="free space where standard output goes: `df -h`. See which machines are running: `pio-tf status`",
    )


def _crash_report(error: Exception) -> PioTfError:
    """Write the traceback to a file: a user sees one line, and a bug report has it all."""
    import tempfile
    import traceback

    try:
        handle, name = tempfile.mkstemp(prefix="pio-tf-crash-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exception(error, file=file)
    except OSError:  # no space, no temporary directory
        name = "the output of the same command with --debug"
    return PioTfError(
        "pio-tf has a bug here",
        cause=f"{type(error).__name__}: {error}",
        next_step=f"report it with {name}. See which machines are running: `pio-tf status`",
    )


if __name__ == "__main__":
    main()
