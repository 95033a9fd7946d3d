"""How the program ``taut`` is started, wherever its package, PyTorch and pyarrow lie. Needs none of them to import."""

import os

from taut import _files

NOT_LOADED = 127  # how the system's loader ends a program whose libraries it does not find


def command_line(arguments: list[str]) -> list[str]:
    """The program with arguments. Raises ImportError where it is not there, or its pyarrow is not."""
    path = _files.program()
    if wrong := _files.why_not("pyarrow"):
        raise ImportError(wrong)
    return [str(path), *arguments]


def environment() -> dict[str, str]:
    """The environment, with PyTorch's and pyarrow's libraries where they lie elsewhere than beside this package."""
    here = _files.folder_of("taut").parent
    folders = [
        str(folder / part)
        for package, part in (("torch", "lib"), ("pyarrow", ""))
        if (folder := _files.folder_of(package)) and folder.parent != here
    ]
    already = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, *([already] if already else [])])}


def torch_is_wanted() -> str:
    """What to say of a command that could not be loaded."""
    return f"this command needs PyTorch, {_files.why_not('torch') or 'whose libraries cannot be loaded'}"
