"""The commands of ``taut`` from Python, without PyTorch: results as dicts, frames in, Arrow tables out."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taut import _frames, _program

if TYPE_CHECKING:
    import numpy
    import pyarrow
    import torch

    from taut.plans import Plan


class CommandError(Exception):
    """What a command ended with: its one line (what, where, how to mend).

    Attributes:
        exit_code: 2 for what the caller can mend (config, data, options), else 1; below 0 the signal that ended it.
    """

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def _words(options: Mapping[str, object]) -> list[str]:
    """Options as the program takes them: flags, lists with commas, settings one by one."""
    words = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(flag)
        elif isinstance(value, Mapping):
            for key, one in value.items():
                words += [flag, f"{key}={json.dumps(one)}"]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words += [flag, ",".join(map(str, value))]
        else:
            words += [flag, str(value)]
    return words


def _follow(process: subprocess.Popen, progress: bool) -> str:
    """Waits for the end; the last line that the process told."""
    last = ""
    for told in process.stderr:
        last = told
        if progress:
            sys.stderr.write(told)
    process.communicate()
    return last


def run(command: str, *arguments: object, progress: bool = False, **options: object) -> dict:
    """Runs a command to its end and returns its result, what ``--json`` prints.

    Calls from several threads run at once, each as a process. Ctrl-C reaches the command, which then
    ends as it does in a shell (``train`` writes a checkpoint).

    Args:
        command: "plan", "info", "train", "predict", ...; ``taut --help`` lists them.
        arguments: names and paths, in the command's order.
        progress: whether what the command tells while it works is shown on stderr.
        options: the command's options, ``memory_budget="1/10"`` for ``--memory-budget 1/10``. True is a flag; a list is
            given with commas; a dict is given key by key: ``set={"train.epochs": 2, "embedding.budget": "1/10"}``.

    Raises CommandError, and ImportError where the program or its libraries are missing.

    >>> run("plan", "lenet-c", accelerators=4)["model"]
    'lenet-c'
    """
    words = [command, *map(str, arguments), "--json", *_words(options)]
    line = _program.command_line(words)
    with tempfile.TemporaryFile("w+") as printed:
        # In a process group of its own, so that an interrupt comes from here alone, whoever sent it to this process.
        process = subprocess.Popen(
            line,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_program.environment(),
            process_group=0,
        )
        try:
            last = _follow(process, progress)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.communicate()  # until it has ended
            raise
        printed.seek(0)
        text = printed.read()
    if process.returncode == 0:
        return json.loads(text) if text.strip() else {}
    if process.returncode == _program.NOT_LOADED:
        raise ImportError(_program.torch_is_wanted())
    raise CommandError(last.strip().removeprefix("error: "), process.returncode)


def plan(
    model: "str | Path | torch.nn.Module",
    example_inputs: object = None,
    cluster: str | Path | None = None,
    **options: object,
) -> "dict | Plan":
    """How each layer of a model is split over an array of accelerators; ``taut plan --help`` lists the options.

    model: a name of the zoo, a run folder, a package, a config, an ``.onnx``, ``.toml`` or ``.json`` file, or a module
        of PyTorch, as it is now (training or not).
    example_inputs: of a module, what its ``forward`` takes: a tuple, or one tensor; their first dimension is the batch.
    cluster: a cluster file.
    options: ``fix={"layer": "III", "blocks.*.up": ["I", "III"]}`` and ``forbid=["II", "head=III@2"]`` are constraints
        (types by name, levels from 1); ``evaluate`` is a plan whose costs are wanted, a file, for a module also a
        ``Plan`` or splits by layer; it is the result, beside those of ``method``. For a module also ``keywords``,
        keyword arguments of its ``forward``, and ``vocabulary_loss=True`` where the loss may be split by the last
        dimension of what the module gives back (PyTorch's ``loss_parallel``); ``batch`` is the examples' own where it
        is not given, and partial sums are added before what follows them (``raw_sums``), as PyTorch computes.
        ``replicate=True`` lets layers stay whole at a level, each group computing all of them (type R).

    Returns what the command prints as a dict, for a module a ``Plan``, which ``taut.parallelize`` applies. Raises
    ``taut.UnknownOperatorError`` (a ValueError) that names each operator of a module that no plan can be made of.

    >>> result = plan("lenet-c", accelerators=4, batch=64)
    >>> result["bytes_per_step"] > 0
    True
    """
    if isinstance(options.get("fix"), Mapping):
        fixed = options["fix"].items()
        options["fix"] = [f"{name}={one if isinstance(one, str) else ' '.join(one)}" for name, one in fixed]
    if isinstance(model, (str, Path)):
        if example_inputs is not None:
            raise TypeError("example_inputs are for a module, not for a name or path")
        return run("plan", model, cluster=cluster, **options)
    from taut import plans  # noqa: PLC0415, the two know each other

    return plans.plan_module(model, example_inputs, cluster, **options)


def train(config: str | Path, out: str | Path, *, progress: bool = True, **options: object) -> dict:
    """Trains from a config into the folder of a run; returns what its ``summary.json`` holds. Needs PyTorch.

    options: of ``taut train``: ``memory_budget``, ``resume``, ``threads``, ``seed``, ``set``.
    """
    return run("train", config, out=out, progress=progress, **options)


_EXPORT = "write a package with taut export RUN PACKAGE"


def _check_file(path: Path) -> None:
    """Raises OSErrors of Python's for what is no file."""
    if path.is_file():
        return
    if path.is_dir():
        what = "the folder of a run" if (path / "config.toml").is_file() else "a directory"
        raise IsADirectoryError(f"expected a package, found {what}, {path}, {_EXPORT}")
    if path.exists():
        raise OSError(f"expected a package, found a pipe or device, {path}, name a file")
    raise FileNotFoundError(f"no such file, {path}, check the path")


class Package:
    """A frozen model that ``taut export`` wrote, or an image classifier as ``.onnx`` file. Needs no PyTorch.

    Attributes:
        path: of the file.
        info: what it holds, as ``taut info`` has it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        _check_file(self.path)  # the command would take what is not there for the name of a network
        self.info = run("info", self.path)
        if self.info.get("kind") != "package" and self.path.suffix != ".onnx":
            found = {"table": "a table"}.get(self.info.get("kind"), "the description of a network")
            raise ValueError(f"expected a package or an .onnx file, found {found}, {path}, {_EXPORT}")

    def predict(self, data: object, **options: object) -> "pyarrow.Table":
        """Scores rows or images; one row of the result for each row that could be scored.

        data: a path or several, or a table with the model's columns: of pyarrow, pandas, polars, or a dict of columns
            (lists, arrays, tensors).
        options: of ``taut predict``: ``all``, ``batch``, ``threads``, and for ONNX files ``mean``, ``deviation``,
            ``size``, ``dim``.
        Returns the columns that ``taut predict`` writes: row, score, or row, class and probabilities. Raises
        TypeError and ValueError for a table that cannot be read, which name the column, and CommandError.
        """
        return self._read_back(data, options)

    def inputs(self, data: object, **options: object) -> dict[str, "numpy.ndarray"]:
        """What the ``.onnx`` file of the same recommender reads: ``session.run(None, package.inputs(frame))``.

        data, options: as ``predict`` takes them, without ``all``.
        Returns "dense" [rows, columns], scaled, where there are dense columns, and "embedding" [rows, tables, dim], the
        tables' pooled rows, where there are tables; float32. A row that was left out as bad is NaN.
        """
        import numpy  # noqa: PLC0415

        table = self._read_back(data, {**options, "inputs": True})
        network = self.info["network"]
        values = [column.to_numpy(zero_copy_only=False) for column in table.columns[1:]]
        values = numpy.stack(values, axis=1).astype(numpy.float32)
        pooled = sum(one["dim"] for one in network["tables"])
        dense = values.shape[1] - pooled
        inputs = {"dense": values[:, :dense], "embedding": values[:, dense:]}
        if network["tables"]:
            inputs["embedding"] = inputs["embedding"].reshape(len(values), -1, network["tables"][0]["dim"])
        return {name: numpy.ascontiguousarray(part) for name, part in inputs.items() if part.size}

    def _read_back(self, data: object, options: dict) -> "pyarrow.Table":
        """What ``taut predict`` writes for data."""
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as folder:
            if isinstance(data, (str, Path)):
                paths = [data]
            elif isinstance(data, Sequence):
                paths = list(data)
            else:
                paths = [Path(folder, "rows.arrow")]
                table = _frames.as_table(data)
                with pyarrow.OSFile(str(paths[0]), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)
            out = Path(folder, "scores.parquet")
            try:
                run("predict", self.path, *paths, out=out, **options)
            except CommandError as error:  # the caller never made the file
                told = str(error).replace(str(Path(folder, "rows.arrow")), "the table")
                raise CommandError(told, error.exit_code) from None
            return pyarrow.parquet.read_table(out)

    def __repr__(self) -> str:
        return f"Package({str(self.path)!r})"


def load(path: str | Path) -> Package:
    """Opens what ``taut export`` wrote, or an ``.onnx`` file of an image classifier."""
    return Package(path)
