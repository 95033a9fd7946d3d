"""Images per second of decoding JPEGs in Parquet: ours beside Pillow in as many processes, on the same file.

The images are 32 x 32 in colour at quality 75 with halved colour resolution.
Ours is all of reading, from the file to the pixels in memory. Pillow's time leaves out starting the processes and
reading the file: its processes get the bytes and give pixels back. Before that both decode everything, and the pixels
must be the same.
"""

import concurrent.futures
import io
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

import evidence
from train_reading import BIN, WORK, run_json

try:
    import PIL.Image
except ImportError as missing:
    raise evidence.BenchError("Pillow is not installed, run scripts/setup.sh --bench") from missing

GOAL = 1.0
SIDE = 32
CHUNK = 500
PROGRAM = BIN / "taut_image_bench"


def make_images(path: Path, count: int) -> Path:
    """A Parquet file of JPEGs of blurred noise, with a label each."""
    if path.exists():
        return path
    random = numpy.random.default_rng(1)
    files = []
    for _ in range(count):
        coarse = PIL.Image.fromarray(random.integers(0, 256, (8, 8, 3), numpy.uint8))
        file = io.BytesIO()
        coarse.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC).save(file, "JPEG", quality=75, subsampling="4:2:0")
        files.append(file.getvalue())
    labels = pyarrow.array(numpy.arange(count, dtype=numpy.int8) % 10)
    pyarrow.parquet.write_table(pyarrow.table({"label": labels, "jpeg": pyarrow.array(files, pyarrow.binary())}), path)
    return path


def decode(files: list[bytes]) -> numpy.ndarray:
    """Pixels of JPEG files, [count, height, width, channels]."""
    pixels = numpy.empty((len(files), SIDE, SIDE, 3), numpy.uint8)
    for i, file in enumerate(files):
        pixels[i] = numpy.asarray(PIL.Image.open(io.BytesIO(file)).convert("RGB"))
    return pixels


def check(path: Path, files: list[bytes], threads: int) -> None:
    """Both decode to the same pixels."""
    dump = WORK / "images.bin"
    run_json([str(PROGRAM), str(path), f"--threads={threads}", f"--dump={dump}"])
    ours = numpy.fromfile(dump, numpy.uint8)
    dump.unlink()
    if not numpy.array_equal(ours, decode(files).reshape(-1)):
        raise evidence.BenchError("decode JPEG: the pixels differ from Pillow's")


def measure(options: evidence.Options) -> list[evidence.Row]:
    """One row: the pixels first, then the times in turn."""
    if not PROGRAM.exists():
        raise evidence.BenchError(f"{PROGRAM} is missing, run make build")
    WORK.mkdir(parents=True, exist_ok=True)
    count = 2_000 if options.quick else 50_000
    path = make_images(WORK / f"images-{count}.parquet", count)
    files = pyarrow.parquet.read_table(path)["jpeg"].to_pylist()
    check(path, files, options.threads)
    chunks = [files[at : at + CHUNK] for at in range(0, count, CHUNK)]
    with concurrent.futures.ProcessPoolExecutor(options.threads) as processes:
        list(processes.map(decode, chunks))  # starts them

        def measure_ours() -> float:
            done = run_json([str(PROGRAM), str(path), f"--threads={options.threads}"])
            return done["images"] / done["seconds"]

        def measure_peer() -> float:
            started = time.perf_counter()
            decoded = sum(len(pixels) for pixels in processes.map(decode, chunks))
            return decoded / (time.perf_counter() - started)

        measured = evidence.interleave({"taut": measure_ours, "Pillow": measure_peer}, options.repetitions)
    peer = (f"Pillow {PIL.__version__}", measured["Pillow"])
    name = "decode JPEG in Parquet, 32 x 32 colour"
    return [evidence.compare(name, "images/s", measured["taut"], peer, threads=options.threads, goal=GOAL)]
