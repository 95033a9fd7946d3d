"""Tables as people have them: what `info` says, what `init` takes, and that one row scores the same in every form."""

import csv
import datetime
import decimal
import random
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, ipc

ROWS = 1200


def write_parquet(path, columns, **options):
    labels = random.Random(1)
    table = {"label": pa.array([labels.randrange(2) for _ in range(ROWS)], pa.int8()), **columns}
    pq.write_table(pa.table(table), path, **options)
    return path


NUMBERS = random.Random(2).choices(range(10**6), k=ROWS)
IDS = [number % 40 for number in NUMBERS]
TEXTS = [f"u{number}" for number in IDS]
TIMES = [datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=i) for i in range(ROWS)]


def decimals(kind):
    return pa.array([decimal.Decimal(number) for number in IDS], kind)


READ = {
    "string_view": pa.array(TEXTS, pa.string_view()),
    "binary_view": pa.array([text.encode() for text in TEXTS], pa.binary_view()),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "fixed_binary": pa.array([text.ljust(4).encode() for text in TEXTS], pa.binary(4)),
    "uuid": pa.array([uuid.UUID(int=number).bytes for number in IDS], pa.uuid()),
    "uint64": pa.array([2**63 + number for number in IDS], pa.uint64()),
    "float_ids": pa.array([None if i % 7 == 0 else float(n) for i, n in enumerate(IDS)]),
    "decimal128": decimals(pa.decimal128(20, 0)),
    "decimal256": decimals(pa.decimal256(50, 0)),
    "bool": pa.array([number % 2 == 0 for number in NUMBERS]),
    "dictionary": pa.array(TEXTS).dictionary_encode(),
    "list": pa.array([[number, 1] for number in IDS]),
    "fixed_list": pa.array([[number, 1] for number in IDS], pa.list_(pa.int32(), 2)),
    "list_of_dictionaries": pa.array([[t] for t in TEXTS], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    "duration": pa.array(IDS, pa.duration("s")),
}

TIME = {
    "seconds": pa.array(TIMES, pa.timestamp("s")),
    "zone": pa.array(TIMES, pa.timestamp("us", "Europe/Berlin")),
    "date": pa.array([time.date() for time in TIMES], pa.date32()),
    "text": pa.array([str(time) for time in TIMES]),
}

LEFT_OUT = {
    "struct": pa.array([{"a": 1} for _ in TEXTS]),
    "map": pa.array([[("a", 1)] for _ in TEXTS], pa.map_(pa.string(), pa.int32())),
    "vectors": pa.array([[0.5, 1.5] for _ in TEXTS], pa.list_(pa.float32(), 2)),
    "nested": pa.array([[[1], [2]] for _ in TEXTS]),
}


def role_of(taut, path, name="x"):
    """The column's role and reason; init agrees with info and never fails."""
    taut("init", path)
    columns = taut("info", path, "--json").json["columns"]
    column = next(column for column in columns if column["name"] == name)
    assert column["role"] is not None
    return column["role"], column["reason"]


@pytest.mark.parametrize("kind", READ)
def test_a_column_of_ids_of_every_type_is_read(taut, tmp_path, kind):
    path = write_parquet(tmp_path / "x.parquet", {"x": READ[kind]})
    assert role_of(taut, path)[0] == "categorical"


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_every_encoding_of_texts_is_read(taut, tmp_path, encoding):
    options = {"use_dictionary": False, "column_encoding": {"x": encoding}}
    path = write_parquet(tmp_path / "x.parquet", {"x": pa.array(TEXTS)}, **options)
    assert role_of(taut, path) == ("categorical", "40 different values in the sample")


@pytest.mark.parametrize("kind", TIME)
@pytest.mark.parametrize("old", [False, True])
def test_times_of_every_type_are_read(taut, tmp_path, kind, old):
    options = {"use_deprecated_int96_timestamps": old}
    path = write_parquet(tmp_path / "x.parquet", {"x": TIME[kind], "id": pa.array(IDS)}, **options)
    assert role_of(taut, path)[0] == "time"


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_type_that_is_not_read_is_left_out_with_advice(taut, tmp_path, kind):
    path = write_parquet(tmp_path / "x.parquet", {"x": LEFT_OUT[kind], "id": pa.array(IDS)})
    role, reason = role_of(taut, path)
    assert role == "skipped" and reason.startswith("not read: ") and "write" in reason


def refused(taut, command, path):
    result = taut(command, path, check=False)
    assert result.code == 2 and result.out == "", result.err
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "internal" not in result.err and path.name in result.err
    return result.err


def test_whole_files_of_other_kinds_are_called_what_they_are(taut, tmp_path):
    table = pa.table({"label": [0, 1], "x": ["a", "b"]})
    feather.write_feather(table, tmp_path / "arrow.parquet")
    with ipc.new_stream(tmp_path / "stream.parquet", table.schema) as stream:
        stream.write_table(table)
    (tmp_path / "gzip.csv").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + bytes(100))
    for name, what in (
        ("arrow.parquet", "an Arrow file"),
        ("stream.parquet", "a stream of Arrow record batches"),
        ("gzip.csv", "a gzip file"),
    ):
        for command in ("info", "init"):
            assert what in refused(taut, command, tmp_path / name)


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_arrow_files_are_tables(taut, tmp_path, compression):
    table = pa.table({"label": [number % 3 % 2 for number in NUMBERS], "x": TEXTS})
    feather.write_feather(table, tmp_path / "x.feather", compression=compression)
    assert role_of(taut, tmp_path / "x.feather")[0] == "categorical"
    (tmp_path / "noname").write_bytes((tmp_path / "x.feather").read_bytes())
    assert taut("info", tmp_path / "noname", "--json").json["rows"] == ROWS


def test_an_encrypted_column_is_left_out_and_an_encrypted_file_refused(taut, tmp_path):
    encryption = pytest.importorskip("pyarrow.parquet.encryption")
    import base64

    class Keys(encryption.KmsClient):
        def __init__(self, _):
            encryption.KmsClient.__init__(self)

        def wrap_key(self, key, _):
            return base64.b64encode(key)

        def unwrap_key(self, key, _):
            return base64.b64decode(key)

    table = pa.table({"label": [0, 1] * 600, "x": TEXTS, "id": IDS})
    for plain in (True, False):
        properties = encryption.CryptoFactory(lambda _: Keys(None)).file_encryption_properties(
            encryption.KmsConnectionConfig(),
            encryption.EncryptionConfiguration(footer_key="k", column_keys={"k": ["x"]}, plaintext_footer=plain),
        )
        path = tmp_path / f"{plain}.parquet"
        with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
    role, reason = role_of(taut, tmp_path / "True.parquet")
    assert role == "skipped" and "encrypted" in reason
    for command in ("info", "init"):
        assert "encrypted" in refused(taut, command, tmp_path / "False.parquet")


def test_info_describes_a_table_without_a_label_too(taut, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("user;price\n7;2,5\n8;3,5\n")
    info = taut("info", path, "--json").json
    assert (info["kind"], info["format"], info["separator"], info["rows"]) == ("table", "csv", '";"', 2)
    assert [column["role"] for column in info["columns"]] == [None, None]
    assert "label" in info["problem"]
    text = taut("info", path).out
    assert "2 rows, 2 columns" in text and "taut init would say" in text


def test_init_takes_what_the_user_says_of_text(taut, tmp_path):
    path = tmp_path / "x.csv"
    rows = "".join(f"{i % 7 % 2},{i % 5},{'?' if i == 3 else i % 9 + 0.5}\n" for i in range(100))
    path.write_bytes("label,straße,d\n".encode("latin-1") + rows.encode())
    assert "data.encoding" in refused(taut, "init", path)
    config = taut("init", path, "--encoding", "latin-1", "--na", "?").out
    assert 'encoding = "latin-1"' in config and 'na_values = ["?"]' in config and "straße" in config
    result = taut("init", path, "--encoding", "ebcdic", check=False)
    assert result.code == 2 and "ebcdic" in result.err and "latin-1" in result.err


def test_numbers_with_thousands_are_read_from_init_to_predict(taut, tmp_path):
    rng = random.Random(6)
    rows = [(rng.randrange(2), rng.randrange(40), rng.randrange(10**7) / 4) for _ in range(2000)]

    def write(name, form):
        text = "label,user,price\n" + "".join(f'{y},{u},"{format(p, form)}"\n' for y, u, p in rows)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    config, run, package = tmp_path / "c.toml", tmp_path / "run", tmp_path / "m.taut"
    taut("init", write("train.csv", ",.2f"), "--out", config)
    assert 'thousands = ","' in config.read_text() and 'dense = ["price"]' in config.read_text()
    taut("train", config, "--out", run, "--set", "train.epochs=1")
    taut("export", run, package)
    marked = taut("predict", package, tmp_path / "train.csv").out
    assert marked == taut("predict", package, write("plain.csv", ".2f")).out
    without = taut("predict", package, tmp_path / "train.csv", "--set", "data.thousands=", check=False)
    assert without.code == 2 and "data.thousands" in without.err


def test_keys_of_text_are_checked(taut, workspace):
    keys = ('data.separator="::"', 'data.list_separator="ab"', 'data.encoding="ebcdic"', 'data.thousands="."')
    for setting in keys:
        out = ("--out", workspace / "run")
        result = taut("train", workspace / "ctr.toml", *out, "--set", setting, check=False)
        assert result.code == 2 and setting.split("=")[0] in result.err, result.err


def test_a_row_scores_the_same_in_every_form(taut, tmp_path):
    """Trained on UTF-16 with semicolons; requests as Parquet, CSV and TSV of other types."""
    rng = random.Random(5)
    rows = [
        (rng.randrange(2), 2**63 + rng.randrange(50), f"{rng.randrange(9)}^{rng.randrange(9)}", rng.random())
        for _ in range(3000)
    ]
    text = "label;user;hist;price\n" + "".join(f"{y};{u};{h};{p}\n" for y, u, h, p in rows)
    (tmp_path / "train.csv").write_bytes(text.encode("utf-16"))
    config, run, package = tmp_path / "c.toml", tmp_path / "run", tmp_path / "m.taut"
    taut("init", tmp_path / "train.csv", "--out", config)
    assert 'list_separator = "^"' in config.read_text()
    taut("train", config, "--out", run, "--set", "train.epochs=1", "--set", "data.format=auto")
    taut("export", run, package)
    users, lists, prices = zip(*((u, h, p) for _, u, h, p in rows[:200]), strict=True)
    forms = {
        "numbers": {"user": pa.array(users, pa.uint64()), "hist": [h.split("^") for h in lists]},
        "texts": {"user": [str(user) for user in users], "hist": lists},
        "views": {
            "user": pa.array([str(user) for user in users], pa.string_view()),
            "hist": pa.array(lists).dictionary_encode(),
        },
    }
    requests = {}
    for name, columns in forms.items():
        requests[name] = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({**columns, "price": prices}), requests[name])
        requests[f"{name} in Arrow"] = tmp_path / f"{name}.arrow"
        feather.write_feather(pa.table({**columns, "price": prices}), tmp_path / f"{name}.arrow")
    for name, separator in (("comma.csv", ","), ("tab.tsv", "\t")):
        requests[name] = tmp_path / name
        with requests[name].open("w", newline="") as file:
            writer = csv.writer(file, delimiter=separator)
            writer.writerow(["user", "hist", "price"])
            writer.writerows(zip(users, lists, prices, strict=True))
    scores = {}
    for name, path in requests.items():
        out = tmp_path / f"{name}.scores.csv"
        taut("predict", package, path, "--out", out)
        scores[name] = out.read_text()
    assert len(set(scores.values())) == 1
