"""What all commands share: how they read arguments, what they print, and how they end."""

import argparse
import contextlib
import errno
import functools
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import NoReturn

from harness.errors import UserError

Main = Callable[[Sequence[str]], int]
DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
READER_GONE = 128 + signal.SIGPIPE
"""The exit code of a command whose reader (`| head`) left before the command was through."""
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl-C does. SIGHUP comes when the terminal is closed."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def command(name: str) -> Callable[[Main], Main]:
    """Decorates the `main` of `python -m NAME`: whatever ends it is one line on stderr, and an exit code.

    Bad input gives 2, a file that can't be read or written 1, Ctrl-C, SIGTERM and SIGHUP 130 with the command
    that goes on. Any other exception is a fault of this program and keeps its traceback.
    """

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def run(arguments: Sequence[str]) -> int:
            write_any_character()
            try:
                with signals_interrupt():
                    return through(lambda: main(arguments))
            except UserError as error:
                return ended(f"error: {error}", BAD_INPUT)
            except KeyboardInterrupt:
                again = shlex.join(["python", "-m", name, *arguments])
                return ended(f"\ninterrupted; to go on: {again}", INTERRUPTED)
            except BrokenPipeError:
                drop_stdout()
                return READER_GONE
            except OSError as error:
                return ended(f"error: {explain(error)}", FAILED)

        return run

    return decorate


def through(main: Callable[[], int]) -> int:
    """The exit code of `main`, with everything printed that it printed. An early exit is an exit code too."""
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else FAILED if end.code else DONE
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
    except OSError as error:
        drop_stdout()
        raise OSError(error.errno, error.strerror, "standard output") from error
    return code


def ended(line: str, code: int) -> int:
    """Print a last line; returns the exit code."""
    with contextlib.suppress(OSError):  # the terminal may be gone, or what stderr is written to full
        print(line, file=sys.stderr, flush=True)
    return code


def full(error: OSError) -> bool:
    """Whether there is no room left."""
    return error.errno in FULL


def explain(error: OSError) -> str:
    """One line: which file, what is wrong, and how to fix it if that is known."""
    where = f"{error.filename}: " if error.filename else ""
    mend = "; make room, then give the same command again" if full(error) else ""
    return " ".join(f"{where}{error.strerror or error}{mend}".split())


def write_any_character() -> None:
    """Print a question mark for what the terminal's encoding lacks, or a file's name can't say."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, unless whoever started the command has them ignored.

    Only the first one does: shells and schedulers send them several times, and a checkpoint takes a while.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [handle for handle in (1, 2) if is_terminal(handle)]

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGHUP:  # writing to a terminal that is gone fails
            for handle in terminals:
                redirect(handle)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
    for number in ENDING:
        if before[number] is signal.SIG_DFL:
            signal.signal(number, interrupt)
    if before[signal.SIGINT] is signal.SIG_DFL:  # as the package's import leaves it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ENDING:
            signal.signal(number, before[number])


def is_terminal(handle: int) -> bool:
    """Whether a file descriptor is open and a terminal."""
    try:
        return os.isatty(handle)
    except OSError:
        return False


def drop_stdout() -> None:
    """Let what is still to be printed go nowhere: the interpreter, at its end, would flush and complain."""
    with contextlib.suppress(OSError, ValueError):
        redirect(sys.stdout.fileno())


def redirect(handle: int) -> None:
    """Let a file descriptor lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, handle)
    os.close(nowhere)


def show(text: str) -> None:
    """Print to a reader that may have had enough before the end (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        drop_stdout()


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, like any other bad input's."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError`."""
        raise UserError(f"{message} (--help says more)")


def named_path(text: str) -> Path:
    """A path on the command line: an empty one would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty: name a folder or a file")
    return Path(text)
