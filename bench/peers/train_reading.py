"""Rows per second of reading: our batches beside pyarrow's own readers, over the same columns of the same files.

Ours is the stream that training reads: ids as 64-bit values, strings hashed, dense values checked and laid out row by
row, in batches of 2048. pyarrow's is its record batches as they come (65,536 rows for Parquet, blocks of 1 MiB for
CSV) with its own threads; nothing is done with them. Before that both read everything once, and what they read is
summed up and compared: rows, labels, dense values, and ids modulo 2^64 (integers only; a string's hash has no
counterpart in pyarrow, the tests of the reader compare it).
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

import evidence

BIN = Path(os.environ.get("TAUT_BIN", evidence.ROOT / "build/release/bin"))
WORK = evidence.RESULTS / "work"
GOAL = 1.0
DENSE = [f"d_{i}" for i in range(13)]
IDS = [f"c_{i}" for i in range(26)]
COLUMNS = ["label", *DENSE, *IDS]
MODULUS = 1 << 64


def run_json(command: list[str]) -> dict:
    """The JSON that a command of ours prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise evidence.BenchError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def synthetic(path: Path, rows: int) -> Path:
    """A synthetic set with Criteo's columns: 13 dense, 26 of ids, four million ids."""
    if not path.exists():
        shape = ["--rows", str(rows), "--dense", str(len(DENSE)), "--columns", str(len(IDS)), "--ids", "4000000"]
        run_json([str(BIN / "taut"), "synth", str(path), *shape, "--json"])
    return path


def with_strings(path: Path, source: Path) -> Path:
    """The same Parquet file with its ids as strings ("id 123")."""
    if not path.exists():
        with pyarrow.parquet.ParquetFile(source) as file:
            table = file.read(columns=COLUMNS)
        for name in IDS:
            text = pyarrow.compute.cast(table[name], pyarrow.string())
            text = pyarrow.compute.binary_join_element_wise("id", text, " ")
            table = table.set_column(table.schema.get_field_index(name), name, text)
        pyarrow.parquet.write_table(table, path, compression="zstd", row_group_size=1 << 18)
    return path


def parquet_batches(path: Path) -> Iterator[pyarrow.RecordBatch]:
    """pyarrow's stream of a Parquet file."""
    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(columns=COLUMNS)


def csv_batches(path: Path) -> Iterator[pyarrow.RecordBatch]:
    """pyarrow's stream of a CSV file, types given so that it need not guess them."""
    types = {"label": pyarrow.int8()} | dict.fromkeys(DENSE, pyarrow.float32()) | dict.fromkeys(IDS, pyarrow.int64())
    options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=COLUMNS)
    with pyarrow.csv.open_csv(path, convert_options=options) as reader:
        yield from reader


def our_command(path: Path, threads: int) -> list[str]:
    """The command that reads a file as training does."""
    columns = ["--label=label", "--dense=" + ",".join(DENSE), "--categorical=" + ",".join(IDS)]
    return [str(BIN / "taut_read_bench"), str(path), *columns, f"--threads={threads}"]


def peer_sums(batches: Iterator[pyarrow.RecordBatch]) -> dict[str, float]:
    """What pyarrow reads, summed up; without ids where they are strings."""
    sums = {"rows": 0, "labels": 0, "dense": 0.0, "ids": 0}
    for batch in batches:
        sums["rows"] += batch.num_rows
        sums["labels"] += pyarrow.compute.sum(batch["label"]).as_py()
        for name in DENSE:
            sums["dense"] += pyarrow.compute.sum(pyarrow.compute.cast(batch[name], pyarrow.float64())).as_py()
        for name in IDS:
            if pyarrow.types.is_integer(batch[name].type):
                sums["ids"] = (sums["ids"] + pyarrow.compute.sum(batch[name]).as_py()) % MODULUS
    return sums


def check(name: str, ours: dict[str, float], theirs: dict[str, float], with_ids: bool) -> None:
    """Both read the same; dense sums may differ by the order of additions."""
    same = ours["rows"] == theirs["rows"] and ours["labels"] == theirs["labels"]
    same = same and abs(ours["dense"] - theirs["dense"]) <= 1e-6 * max(ours["rows"], 1)
    if not same or (with_ids and ours["ids"] != theirs["ids"]):
        raise evidence.BenchError(f"{name}: what was read differs: ours {ours}, pyarrow {theirs}")


def measure_file(
    name: str, path: Path, batches: Callable[[Path], Iterator[pyarrow.RecordBatch]], options: evidence.Options
) -> evidence.Row:
    """One row: the answers first, then the times in turn."""
    ours = run_json([*our_command(path, options.threads), "--check"])
    check(name, ours, peer_sums(batches(path)), with_ids="strings" not in name)

    def measure_ours() -> float:
        done = run_json(our_command(path, options.threads))
        return done["rows"] / done["seconds"]

    def measure_peer() -> float:
        started = time.perf_counter()
        rows = sum(batch.num_rows for batch in batches(path))
        return rows / (time.perf_counter() - started)

    measured = evidence.interleave({"taut": measure_ours, "pyarrow": measure_peer}, options.repetitions)
    peer = ("pyarrow", measured["pyarrow"])
    return evidence.compare(name, "rows/s", measured["taut"], peer, threads=options.threads, goal=GOAL)


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Parquet of integers, Parquet of strings, CSV."""
    for program in ("taut", "taut_read_bench"):
        if not (BIN / program).exists():
            raise evidence.BenchError(f"{BIN / program} is missing, run make build")
    WORK.mkdir(parents=True, exist_ok=True)
    pyarrow.set_cpu_count(options.threads)
    rows = 50_000 if options.quick else 1_000_000
    parquet = synthetic(WORK / f"reading-{rows}.parquet", rows)
    strings = with_strings(WORK / f"reading-strings-{rows}.parquet", parquet)
    csv = synthetic(WORK / f"reading-{rows}.csv", rows)
    return [
        measure_file("read Parquet, 13 dense, 26 integer ids", parquet, parquet_batches, options),
        measure_file("read Parquet, 13 dense, 26 strings", strings, parquet_batches, options),
        measure_file("read CSV, 13 dense, 26 integer ids", csv, csv_batches, options),
    ]
