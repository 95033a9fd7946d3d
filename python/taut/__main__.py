"""The command ``taut``: becomes the program that lies in this package."""

import os
import signal
import subprocess
import sys

from taut import _files

_NOT_LOADED = 127  # how the system's loader ends a program whose libraries it does not find


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _environment() -> dict[str, str]:
    """The environment, with PyTorch's and pyarrow's libraries where they lie elsewhere than beside this package."""
    folders = [
        str(folder / part)
        for package, part in (("torch", "lib"), ("pyarrow", ""))
        if (folder := _files.folder_of(package)) and folder.parent != _files.folder_of("taut").parent
    ]
    already = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, *([already] if already else [])])}


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Runs to the end, and leaves Ctrl-C to the program."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> int:
    """Runs the program with the arguments of this process; returns only where it cannot become it."""
    try:
        path = str(_files.program())
    except ImportError as missing:
        return _fail(str(missing))
    if wrong := _files.why_not("pyarrow"):
        return _fail(wrong)
    command = [path, *sys.argv[1:]]
    environment = _environment()
    wrong = _files.why_not("torch")
    if wrong is None:
        os.execve(path, command, environment)
    # Most commands need no PyTorch; one that does cannot be loaded.
    status = _run(command, environment)
    return _fail(f"this command needs PyTorch, {wrong}") if status == _NOT_LOADED else status


if __name__ == "__main__":
    sys.exit(main())
