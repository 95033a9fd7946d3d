#!/usr/bin/env python3
"""Writes scikit-learn's 8x8 digits as IDX files: a small set of images for the demo and for trying things out.

Usage: digits.py FOLDER     writes digits-train-images.idx, digits-train-labels.idx (1,438 images) and
                            digits-test-images.idx, digits-test-labels.idx (359: every fifth image)
"""

import os
import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TEST_EVERY = 5
LARGEST_VALUE = 16  # of a pixel in scikit-learn's set


def write_atomically(path: Path, data: bytes) -> None:
    """Beside, to the disk, then renamed: a killed run leaves no half file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def idx_bytes(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes: 0 0 8 dimensions, each dimension in 4 bytes (big-endian), the values."""
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_digits(folder: Path) -> dict[str, Path]:
    """Writes both parts; the image files by part ("train", "test")."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / LARGEST_VALUE)).astype(np.uint8)
    in_test = np.arange(len(images)) % TEST_EVERY == TEST_EVERY - 1
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for part, chosen in (("train", ~in_test), ("test", in_test)):
        write_atomically(folder / f"digits-{part}-labels.idx", idx_bytes(digits.target[chosen]))
        paths[part] = folder / f"digits-{part}-images.idx"
        write_atomically(paths[part], idx_bytes(images[chosen]))
    return paths


def read_test_images(folder: Path) -> np.ndarray:
    """The images of the part "test" that write_digits wrote, [images, height, width]."""
    data = (folder / "digits-test-images.idx").read_bytes()
    shape = struct.unpack(">3I", data[4:16])
    return np.frombuffer(data, np.uint8, offset=16).reshape(shape)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for written in write_digits(Path(sys.argv[1])).values():
        print(written)
