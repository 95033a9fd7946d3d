"""Text that lies: configs whose keys lie deep, run folders edited by hand, sizes that no machine has. A typed error
that names file and key, exit code 2, nothing half written."""

import json

import pytest
from conftest import CONFIG
from test_bad_input import fails

DEEP = 200_000


DEEP_TOML = {
    "dotted key": "a." * DEEP + "a = 1\n",
    "dotted table": "[" + "a." * DEEP + "a]\n",
    "spaced": "[" + "a . " * DEEP + "a]\n",
    "quoted": '"a".' * DEEP + "a = 1\n",
    "lists": "a = " + "[" * DEEP + "]" * DEEP + "\n",
    "inline tables": "a = " + "{a=" * DEEP + "1" + "}" * DEEP + "\n",
    "unfinished": "a = " + "[" * DEEP,
}


@pytest.mark.parametrize("text", DEEP_TOML.values(), ids=DEEP_TOML.keys())
def test_toml_that_lies_deep(taut, trained, text):
    path = trained / "deep.toml"
    path.write_text(CONFIG + text)
    assert "deep.toml, line" in fails(taut, "train", path, "--out", trained / "deep")
    path.write_text('name = "x"\ninput = [1]\n[[layer]]\nname = "a"\nop = "fc"\nout = 1\n' + text)
    assert "deep.toml" in fails(taut, "info", path)
    path.write_text(text)
    plan = ("plan", "lenet-c", "--accelerators", "4", "--batch", "64", "--cluster", path)
    assert "deep.toml" in fails(taut, *plan)


def test_settings_that_lie_deep_or_are_no_utf8(taut, trained):
    train = ("train", trained / "ctr.toml", "--out", trained / "set", "--set")
    assert "data.train" in fails(taut, *train, "data.train=" + "[" * 30000)
    assert "data.train" in fails(taut, *train, b"data.train=\xff\xfe.csv".decode(errors="surrogateescape"))


def test_folders_that_no_run_can_have_are_seen_before_the_training(taut, trained):
    config = trained / "ctr.toml"
    name = b"bad\xff".decode(errors="surrogateescape")
    assert "UTF-8" in fails(taut, "train", config, "--out", f"{trained}/{name}")
    assert "bytes" in fails(taut, "train", config, "--out", f"{trained}/" + "a/" * 2040 + "b")
    assert "long" in fails(taut, "train", config, "--out", f"{trained}/" + "a" * 300)


def test_paths_that_no_file_can_have_are_the_users_to_mend(taut, trained):
    for name in ("a" * 5000, "b/" * 3000, "c" * 300 + ".onnx", "d" * 300 + ".toml"):
        fails(taut, "info", name)
        fails(taut, "predict", name, trained / "test.csv")
        fails(taut, "eval", name)
        fails(taut, "train", trained / "ctr.toml", "--out", trained / "x", "--set", f"data.train={name}")


JUNK = {
    "empty": "",
    "no JSON": "junk",
    "a list": "[1, 2]",
    "deep": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "no UTF-8": b'{"a": "\xff"}',
}


@pytest.mark.parametrize("text", JUNK.values(), ids=JUNK.keys())
def test_summaries_and_profiles_that_are_junk(taut, trained, text):
    data = text if isinstance(text, bytes) else text.encode()
    run = trained / "run"
    good = (run / "summary.json").read_bytes()
    (run / "summary.json").write_bytes(data)
    assert "summary.json" in fails(taut, "info", run)
    (run / "summary.json").write_bytes(good)
    fresh = trained / "junk"
    fresh.mkdir(exist_ok=True)
    (fresh / "profile.json").write_bytes(data)
    message = fails(taut, "train", trained / "ctr.toml", "--out", fresh)
    assert "profile.json" in message
    (run / "metrics.jsonl").write_bytes(data)  # read by reports alone
    taut("eval", run)


PROFILES = {
    "no rows": ("rows", None),
    "no ids": ("distinct_ids", None),
    "fewer ids": ("distinct_ids", [3]),
    "ids of text": ("distinct_ids", ["3", "4"]),
    "ids below 0": ("distinct_ids", [-1, 4]),
    "ids without end": ("distinct_ids", [2**62, 4]),
    "rows of text": ("rows", "600"),
    "rows below 1": ("rows", 0),
    "rows above all": ("rows", 2**64 - 1),
    "a fraction of a row": ("rows", 600.5),
    "more positive than there are": ("positive_rows", 10**6),
    "no scaling": ("scaling", None),
    "scaling of another kind": ("scaling", [{"kind": 7, "mean": 0, "deviation": 1}]),
    "a mean of text": ("scaling", [{"kind": 1, "mean": "0", "deviation": 1}]),
    "a mean of null": ("scaling", [{"kind": 1, "mean": None, "deviation": 1}]),
    "a deviation of 0": ("scaling", [{"kind": 1, "mean": 0, "deviation": 0}]),
    "key": ("key", 5),
}


@pytest.mark.parametrize("key, value", PROFILES.values(), ids=PROFILES.keys())
def test_a_profile_edited_by_hand_names_file_and_key(taut, trained, key, value):
    profile = json.loads((trained / "run/profile.json").read_text())
    if value is None:
        del profile[key]
    else:
        profile[key] = value
    fresh = trained / "edited"
    fresh.mkdir(exist_ok=True)
    (fresh / "profile.json").write_text(json.dumps(profile))
    message = fails(taut, "train", trained / "ctr.toml", "--out", fresh)
    named = ("kind", "mean", "deviation") if key == "scaling" and value else (key,)
    assert "profile.json" in message and any(f'"{name}"' in message for name in named), message


def test_a_profile_with_a_scale_that_is_not_a_number(taut, trained):
    text = (trained / "run/profile.json").read_text()
    fresh = trained / "nan"
    fresh.mkdir()
    (fresh / "profile.json").write_text(text.replace('"mean": ', '"mean": NaN, "was": '))
    assert "profile.json" in fails(taut, "train", trained / "ctr.toml", "--out", fresh)


def test_memory_that_no_machine_has_is_said_with_what_there_is(taut, trained):
    train = ("train", trained / "ctr.toml", "--out", trained / "huge")
    message = fails(taut, *train, "--set", "model.top=[100000,100000]")
    assert "GiB" in message and "model.top" in message and "there are" in message
    message = fails(taut, *train, "--memory-budget", "1TiB")
    assert "1.0 TiB" in message and "embedding.budget" in message and "there are" in message
    assert not (trained / "huge/checkpoint").exists()
