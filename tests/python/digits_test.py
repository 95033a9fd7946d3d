"""scikit-learn's digits as IDX files."""

import numpy as np
from sklearn.datasets import load_digits

import digits


def read(path, dimensions):
    data = path.read_bytes()
    shape = np.frombuffer(data, ">u4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def test_every_fifth_image_is_for_testing_and_nothing_is_lost(tmp_path):
    paths = digits.write_digits(tmp_path / "data")
    original = load_digits()
    seen = 0
    for part, first, step in (("test", 4, 5), ("train", 0, 1)):
        images = read(paths[part], 3)
        labels = read(tmp_path / f"data/digits-{part}-labels.idx", 1)
        assert images.shape == (len(labels), 8, 8)
        assert images.max() == 255
        assert labels[0] == original.target[first]
        assert labels[1] == original.target[first + step]
        np.testing.assert_allclose(images[1] / 255 * 16, original.images[first + step], atol=0.04)
        seen += len(labels)
    assert seen == len(original.target)


def test_nothing_else_is_left_in_the_folder(tmp_path):
    digits.write_digits(tmp_path)
    digits.write_digits(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"digits-{part}-{kind}.idx" for part in ("train", "test") for kind in ("images", "labels")
    )
