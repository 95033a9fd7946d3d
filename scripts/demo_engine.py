"""The demo's networks of digits in our engine and in ONNX Runtime: the same file, the same images, one thread."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from digits import read_test_images

IMAGES = 64  # of a batch: of one image the call itself would take much of the time
CALLS = 200
TOLERANCE = 1e-4  # of the largest logit

Taut = Callable[..., dict]  # runs a command, returns its result


def normalized(images: np.ndarray, metadata: dict[str, str]) -> np.ndarray:
    """Pixels [batch, height, width] as the network of an exported file reads them, [batch, 1, height, width]."""
    described = json.loads(metadata["taut.input"])
    values = (images / 255 - described["mean"][0]) / described["deviation"][0]
    return values[:, np.newaxis].astype(np.float32)


def peer_microseconds(session: onnxruntime.InferenceSession, x: np.ndarray) -> tuple[float, np.ndarray]:
    """The median of some calls, after some that are not counted, and the answer."""
    name = session.get_inputs()[0].name
    times = []
    for _ in range(2 * CALLS):
        start = time.perf_counter()
        answer = session.run(None, {name: x})[0]
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times[CALLS:])), answer


def measure(taut: Taut, run: Path, images: np.ndarray) -> dict:
    """Microseconds an image of both, for one run."""
    with tempfile.TemporaryDirectory() as folder:
        model, read, written = (Path(folder) / name for name in ("model.onnx", "x.bin", "y.bin"))
        taut("export", run, model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        x = normalized(images[:IMAGES], session.get_modelmeta().custom_metadata_map)
        peer, wanted = peer_microseconds(session, x)
        np.moveaxis(x, 1, -1).astype("<f4").tofile(read)
        timed = ("--batch", len(x), "--threads", 1, "--repetitions", CALLS, "--input", read, "--output", written)
        ours = taut("bench", model, *timed)["latency_microseconds"]["p50"]
        got = np.fromfile(written, "<f4").reshape(wanted.shape)
        if np.abs(got - wanted).max() > TOLERANCE * np.abs(wanted).max():
            sys.exit(f"demo: the engine's answers for {run} are not ONNX Runtime's")
    return {"engine_microseconds": ours / len(x), "onnxruntime_microseconds": peer / len(x)}


def measure_all(taut: Taut, folder: Path, runs: dict[str, Path]) -> list[tuple[str, dict]]:
    """Each network by name; folder: where the images lie."""
    images = read_test_images(folder)
    return [(name, measure(taut, run, images)) for name, run in runs.items()]
