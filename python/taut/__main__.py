"""The command ``taut``: becomes the program that lies in this package."""

import os
import signal
import subprocess
import sys

from taut import _files, _program


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _run(command: list[str]) -> int:
    """Runs to the end, and leaves Ctrl-C to the program."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(command, env=_program.environment(), check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> int:
    """Runs the program with the arguments of this process; returns only where it cannot become it."""
    try:
        command = _program.command_line(sys.argv[1:])
    except ImportError as missing:
        return _fail(str(missing))
    if _files.why_not("torch") is None:
        os.execve(command[0], command, _program.environment())
    # Most commands need no PyTorch; one that does cannot be loaded.
    status = _run(command)
    return _fail(_program.torch_is_wanted()) if status == _program.NOT_LOADED else status


if __name__ == "__main__":
    sys.exit(main())
