"""The entry point: runs one command, and turns errors and signals into one message and an exit code."""

from __future__ import annotations

import errno
import gc
import signal
import sys
from types import FrameType

from pio_tf.cli.app import app
from pio_tf.cli.readers import let_go
from pio_tf.cli.surroundings import in_ci, in_github
from pio_tf.errors import ConfigError, Interrupted, PioTfError

_received: list[int] = []
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR)
"""What is wrong with this computer's disk or permissions is no bug of ours."""
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""What a command reads first, modules and AWS's descriptions of its API, it keeps. To search it for garbage, every 700
objects as Python does, is half of a short command's time."""


def main() -> None:
    """Run ``pio-tf``. Exit codes are those of :mod:`pio_tf.errors`; 2 also stands for wrong usage."""
    # A shell starts background jobs of a script with SIGINT ignored, and we interrupt ourselves and Terraform with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGHUP, _terminate)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    code = _run()
    _hand_on(code)
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it: Python would say so on its way out, and end with 120
        let_go(sys.stdout, sys.stderr)
    gc.freeze()  # or Python would search all of it once more before it ends
    sys.exit(code)


def _run() -> int:
    """The exit code of the command."""
    try:
        app(prog_name="pio-tf", standalone_mode=True)
    except PioTfError as error:
        _say(error)
        return error.exit_code
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        # Typer turns every KeyboardInterrupt into 130, Ctrl-C's code; other signals have their own.
        number = _received[-1] if _received else signal.SIGINT
        ours = _typers(ended, code, number)
        if ours is not None and (_wants_json() or in_ci()):
            _say(ours)
        return 128 + number if code == 130 else code
    except Exception as error:  # noqa: BLE001 - the one place where a surprise becomes a report
        _say(_unusable_file(error) or _crash_report())
        return 1
    return 0


def _typers(ended: SystemExit, code: int, number: int) -> PioTfError | None:
    """An end that Typer has reported to a person, or has not, as an error of ours: for programs and CI logs."""
    before: BaseException | None = ended
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            return Interrupted(
                f"interrupted by {signal.Signals(number).name}",
                signal_number=number,
                next_step="`pio-tf status` tells which machines run",
            )
        if code == ConfigError.exit_code and hasattr(before, "format_message"):
            return ConfigError(str(before.format_message()), next_step="`pio-tf --help` lists commands and options")
        before = before.__cause__ or before.__context__
    return None


def _hand_on(code: int) -> None:
    """The exit code, for the next steps of a job: a step that may fail is asked for it."""
    if in_github():
        from pio_tf.cli.github import append, output_entry

        append("GITHUB_OUTPUT", output_entry("exit", code))


def _terminate(number: int, _frame: FrameType | None) -> None:
    """SIGTERM, and SIGHUP of a closed terminal, end a command exactly as Ctrl-C does: machines are stopped, locks
    released. Only the exit code is their own: 143, 129."""
    _received.append(number)
    signal.raise_signal(signal.SIGINT)


def _say(error: PioTfError) -> None:
    from pio_tf.cli.output import show_error

    try:
        show_error(error, json=_wants_json())
    except OSError:  # nobody reads it: the exit code has to do
        let_go(sys.stdout, sys.stderr)


def _wants_json() -> bool:
    ours, _, _spark = " ".join(sys.argv[1:]).partition(" -- ")
    return "--json" in ours.split()


def _unusable_file(error: Exception) -> PioTfError | None:
    if not isinstance(error, OSError) or error.filename is None or error.errno not in _UNUSABLE:
        return None
    return PioTfError(
        f"cannot use {error.filename}",
        cause=str(error.strerror),
        next_step="see what is in the way, who may write there and whether the disk is full: "
        f"ls -ld {error.filename}; df -h. `pio-tf status` tells which machines run",
    )


def _crash_report() -> PioTfError:
    """Write the traceback to a file, so that a user sees one line and a bug report has it all."""
    import os
    import tempfile
    import traceback

    handle, name = tempfile.mkstemp(prefix="pio-tf-crash-", suffix=".txt")
    with os.fdopen(handle, "w") as file:
        traceback.print_exc(file=file)
    kind, value = sys.exc_info()[:2]
    return PioTfError(
        "pio-tf has a bug here",
        cause=f"{kind.__name__ if kind else 'error'}: {value}",
        next_step=f"report it with {name}; `pio-tf status` tells which machines run",
    )


if __name__ == "__main__":
    main()
