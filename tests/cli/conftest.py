"""What the tests of the command line share: the program, and small data to train on."""

import json
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TAUT_PROGRAM", ROOT / "build/release/bin/taut"))


class Result:
    """How a call of the program ended."""

    def __init__(self, done: subprocess.CompletedProcess):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def program() -> Path:
    assert PROGRAM.exists(), f"build first: {PROGRAM} is missing"
    return PROGRAM


@pytest.fixture(scope="session")
def taut(program):
    """Calls the program; check=True insists on success."""

    def call(*args, check=True, env=None, timeout=300) -> Result:
        done = subprocess.run(
            [str(program), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
        if check:
            assert done.returncode == 0, done.stderr
        return Result(done)

    return call


def write_csv(path: Path, rows: int, seed: int) -> Path:
    """Rows with two id columns and a dense one, whose label depends on the ids."""
    rng = random.Random(seed)
    with path.open("w") as file:
        file.write("label,d_x,c_user,c_item\n")
        for _ in range(rows):
            user, item = rng.randrange(50), rng.randrange(300)
            likely = 0.85 if user * 7 % 3 == item * 5 % 3 else 0.15
            file.write(f"{int(rng.random() < likely)},{rng.gauss(0, 1):.4f},u{user},{item}\n")
    return path


CONFIG = """
[data]
train = "train.csv"
valid = "valid.csv"
test = "test.csv"
label = "label"
dense = ["d_x"]
categorical = ["c_user", "c_item"]
[model]
top = [16]
bottom = [8]
[embedding]
method = "elastic"
budget = "32KiB"
[train]
epochs = 4
batch_size = 128
learning_rate = 0.01
log_every = 5
"""


@pytest.fixture
def workspace(tmp_path) -> Path:
    """A folder with ctr.toml and its data."""
    write_csv(tmp_path / "train.csv", 8000, 1)
    write_csv(tmp_path / "valid.csv", 1000, 2)
    write_csv(tmp_path / "test.csv", 1000, 3)
    (tmp_path / "ctr.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture(scope="module")
def trained(taut, tmp_path_factory):
    """A folder with data, a config, a run and its package."""
    folder = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate(("train", "valid", "test"), 1):
        write_csv(folder / f"{name}.csv", 600, seed)
    (folder / "ctr.toml").write_text(CONFIG)
    taut("train", folder / "ctr.toml", "--out", folder / "run", "--set", "train.epochs=1")
    taut("export", folder / "run", folder / "model.taut")
    return folder


SIDE = 10


def write_digits(folder, name, count, seed):
    """Images with a bright corner, which is the label."""
    rng = random.Random(seed)
    labels = [rng.randrange(4) for _ in range(count)]
    pixels = bytearray()
    for label in labels:
        for place in range(SIDE * SIDE):
            low, left = place // SIDE < SIDE // 2, place % SIDE < SIDE // 2
            bright = low == (label < 2) and left == (label % 2 == 0)
            pixels.append(rng.randrange(100) + (90 if bright else 0))
    images = folder / f"{name}-images-idx3"
    images.write_bytes(struct.pack(">IIII", 0x803, count, SIDE, SIDE) + pixels)
    (folder / f"{name}-labels-idx1").write_bytes(struct.pack(">II", 0x801, count) + bytes(labels))
    return images


IMAGE_CONFIG = """
task = "image"
[data]
train = "train-images-idx3[:350]"
valid = "train-images-idx3[350:]"
test = "test-images-idx3"
[model]
kind = "cifar-c"
width = 0.2
winner_rate = 0.5
unit = "position"
[train]
epochs = 4
batch_size = 32
optimizer = "adam"
learning_rate = 0.003
checkpoint_every = 3
"""


@pytest.fixture
def image_workspace(tmp_path) -> Path:
    """A folder with images.toml and its data."""
    write_digits(tmp_path, "train", 400, 1)
    write_digits(tmp_path, "test", 100, 2)
    (tmp_path / "images.toml").write_text(IMAGE_CONFIG)
    return tmp_path
