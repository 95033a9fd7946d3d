"""The C API as a library that Python loads."""

import ctypes
import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(os.environ.get("TAUT_BUILD", ROOT / "build/release")) / "src/infer/libtaut_c.so"
UNSUPPORTED = 7  # taut_status
MOST_DIMENSIONS = 8


class Tensor(ctypes.Structure):
    """taut_tensor."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("rank", ctypes.c_int),
        ("dimensions", ctypes.c_int64 * MOST_DIMENSIONS),
    )

    def shape(self, batch: int) -> list[int]:
        return [batch, *self.dimensions[1 : self.rank]]


class RefusedError(Exception):
    """The engine does not compute the model."""


class Library:
    """The C API as a library that is loaded."""

    def __init__(self) -> None:
        self.calls = ctypes.CDLL(str(LIBRARY))
        self.calls.taut_last_error.restype = ctypes.c_char_p

    def check(self, status: int) -> None:
        if status == 0:
            return
        message = self.calls.taut_last_error().decode()
        raise RefusedError(message) if status == UNSUPPORTED else AssertionError(f"status {status}: {message}")

    def run(self, model: bytes, x: np.ndarray) -> np.ndarray:
        handle, session = ctypes.c_void_p(), ctypes.c_void_p()
        read, written = Tensor(), Tensor()
        calls = self.calls
        self.check(calls.taut_model_open_bytes(model, ctypes.c_size_t(len(model)), None, 0, ctypes.byref(handle)))
        try:
            self.check(calls.taut_model_input(handle, 0, ctypes.byref(read)))
            self.check(calls.taut_model_output(handle, 0, ctypes.byref(written)))
            assert read.shape(x.shape[0]) == list(x.shape)
            self.check(calls.taut_session_open(handle, 1, ctypes.byref(session)))
            floats = ctypes.POINTER(ctypes.c_float)
            x = np.ascontiguousarray(x)
            y = np.empty(written.shape(x.shape[0]), np.float32)
            pointer = x.ctypes.data_as(floats)
            self.check(calls.taut_session_set_values(session, read.name, pointer, ctypes.c_size_t(x.size)))
            self.check(calls.taut_session_run(session, ctypes.c_int64(x.shape[0])))
            self.check(calls.taut_session_get(session, written.name, y.ctypes.data_as(floats), ctypes.c_size_t(y.size)))
            return y
        finally:
            calls.taut_session_close(session)
            calls.taut_model_close(handle)
