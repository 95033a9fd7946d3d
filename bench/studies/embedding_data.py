"""Data that the study of embeddings makes from the sets: a third of globo-news, and books joined with title words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import StudyError

PARTS = ("train", "valid", "test")


def need(path: Path) -> Path:
    """The path, if the file is there."""
    if not path.is_file():
        raise StudyError(f"the data set is not there, {path}, name the folder of the data sets with DATA=DIR")
    return path


def make_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Makes a folder whole or not at all."""
    if folder.is_dir():
        return
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    make(beside)
    beside.replace(folder)


def make_globo_third(data: Path, folder: Path) -> None:
    """The middle third of the training rows, which lie in time order; validation and test rows of the same days."""
    source = data / "globo-news"
    rows = pa.concat_tables([pq.read_table(need(source / f"train-{i}.parquet")) for i in (0, 1)])
    first, last = rows.num_rows // 3, 2 * rows.num_rows // 3
    third = rows.slice(first, last - first)
    pq.write_table(third, folder / "train.parquet")
    begin, end = third["time"][0], third["time"][-1]
    for part in PARTS[1:]:
        table = pq.read_table(need(source / f"{part}.parquet"))
        within = pc.and_(pc.greater_equal(table["time"], begin), pc.less_equal(table["time"], end))
        pq.write_table(table.filter(within), folder / f"{part}.parquet")


def make_book_crossing_all(data: Path, folder: Path) -> None:
    """Every row with its book's title words; ages that are jokes are clipped, unknown ones become missing."""
    source = data / "book-crossing"
    words = pq.read_table(need(source / "title-words.parquet"))
    for part in PARTS:
        table = pq.read_table(need(source / f"{part}.parquet"))
        found = pc.index_in(table["c_book"].combine_chunks(), value_set=words["c_book"].combine_chunks())
        titles = words["c_title_words"].combine_chunks().take(found)
        age = table["d_age"]
        clipped = pc.min_element_wise(pc.max_element_wise(age, pa.scalar(5, age.type)), pa.scalar(90, age.type))
        known = pc.if_else(pc.less(age, 0), pa.scalar(None, age.type), clipped)
        table = table.set_column(table.column_names.index("d_age"), "d_age", known)
        pq.write_table(table.append_column("c_title_words", titles), folder / f"{part}.parquet")


def prepare(data: Path, folder: Path) -> None:
    """Makes what is not there yet."""
    make_once(folder / "globo-third", lambda path: make_globo_third(data, path))
    make_once(folder / "book-crossing-all", lambda path: make_book_crossing_all(data, path))
