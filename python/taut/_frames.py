"""Tables that a caller holds in memory as tables of pyarrow; what cannot be one is named by its column."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def as_table(data: object) -> "pyarrow.Table":
    """A table of pyarrow, pandas or polars, or a dict of columns, as a table of pyarrow.

    Columns of a dict are arrays of numpy in any byte order and precision, tensors of PyTorch on any device, or whatever
    pyarrow takes. Raises TypeError for what is no table, ValueError for a column that cannot be one, or that is of
    another length than the first; both name the column.
    """
    import pyarrow  # noqa: PLC0415

    if isinstance(data, Mapping):
        return _table_of_columns(data)
    try:
        return pyarrow.table(data)
    except (pyarrow.ArrowException, OverflowError) as problem:
        raise ValueError(f"the table cannot be read: {problem}") from problem
    except TypeError as problem:
        wanted = "a path, several paths, a table of pyarrow, pandas or polars, or a dict of columns"
        raise TypeError(f"data must be {wanted}, got {type(data).__name__}") from problem


def _table_of_columns(columns: Mapping) -> "pyarrow.Table":
    import pyarrow  # noqa: PLC0415

    arrays = {str(name): _column(str(name), values) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    for name, length in lengths.items():
        first = next(iter(lengths))
        if length != lengths[first]:
            raise ValueError(f'column "{name}" has {length} rows, column "{first}" has {lengths[first]}')
    return pyarrow.table(arrays)


def _column(name: str, values: object) -> "pyarrow.Array | pyarrow.ChunkedArray":
    """One column of a dict."""
    import pyarrow  # noqa: PLC0415

    if isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)):
        return values
    try:
        return pyarrow.array(_plain(values))
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError) as problem:
        kind = getattr(values, "dtype", type(values).__name__)
        raise ValueError(f'column "{name}" ({kind}) cannot be read: {problem}') from problem


def _plain(values: object) -> object:
    """Tensors as arrays, arrays in this machine's byte order, of no more precision than float64."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # without importing PyTorch to know it
        values = values.detach().cpu().numpy()
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "kind", "") == "f" and dtype.itemsize > 8:  # longdouble
        return values.astype("float64")
    if not getattr(dtype, "isnative", True):
        return values.astype(dtype.newbyteorder("="))
    return values
