"""Where the compiled parts of taut lie, what they were built for and what is installed of that. Needs no PyTorch."""

import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def find(in_package: str, in_build: str, variable: str) -> Path:
    """The file that the environment variable names, else that of this package, else of the checkout's build/release.

    Raises ImportError that lists where it looked.
    """
    named = os.environ.get(variable)
    candidates = [Path(named)] if named else [_HERE / in_package, _HERE.parents[1] / "build/release" / in_build]
    for path in candidates:
        if path.is_file():
            return path
    looked = ", ".join(map(str, candidates))
    raise ImportError(
        f"{candidates[0].name} is not there, looked at {looked}, install the wheel, run make build or set {variable}"
    )


def library() -> Path:
    """The library of operators for PyTorch."""
    return find("libtaut_torch.so", "lib/libtaut_torch.so", "TAUT_TORCH_LIBRARY")


def program() -> Path:
    """The program ``taut``; ``taut-torch`` lies beside it."""
    return find("bin/taut", "bin/taut", "TAUT_PROGRAM")


def built_for(package: str) -> str | None:
    """The version of "torch" or "pyarrow" that the compiled parts were built for; None where nothing says it."""
    for folder in (_HERE, _HERE.parents[1] / "build/release/lib"):
        path = folder / "taut_built_for.json"
        if path.is_file():
            return json.loads(path.read_text("utf-8"))[package]
    return None


def installed(package: str) -> str | None:
    """The version of a package that is installed, without its local part ("+cpu"); None where it is not."""
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def why_not(package: str) -> str | None:
    """What is wrong with the installed package, both versions named and how to mend it; None where it fits.

    PyTorch must be of the very version. Of pyarrow the first two numbers count: they are in the names of its libraries.
    """
    wanted, there = built_for(package), installed(package)
    if wanted is None:
        return None
    digits = 3 if package == "torch" else 2
    if there is not None and there.split(".")[:digits] == wanted.split(".")[:digits]:
        return None
    name = {"torch": "PyTorch"}.get(package, package)
    found = f"{name} {there} is installed" if there else f"{name} is not installed"
    return f"taut was built for {name} {wanted}, {found}, pip install {package}=={wanted}"


def folder_of(package: str) -> Path | None:
    """Where a package lies, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None
