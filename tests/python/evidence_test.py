"""The evidence of peer benchmarks: ratios the right way round, tables that line up, records that are whole."""

import json
import types

import pytest

import clicks
import ddp
import dlrm
import evidence
import run as bench_run
import train_workers


def row(**fields):
    plain = {"name": "lookup", "threads": 2, "unit": "rows/s", "ours": 3e7, "peer": 1e7, "peer_name": "FBGEMM"}
    return evidence.Row(**{**plain, "ratio": 3.0, "spread": 0.1, "goal": 2.5, "met": True, **fields})


def test_a_ratio_above_one_means_that_we_are_better():
    rates = evidence.compare("a", "rows/s", [20.0, 30.0], ("peer", [10.0, 10.0]), threads=1)
    assert rates.ratio == pytest.approx(2.5)
    times = evidence.compare("a", "s", [1.0, 1.0], ("peer", [3.0, 3.0]), threads=1, lower_is_better=True)
    assert times.ratio == pytest.approx(3.0)


def test_ratios_are_taken_within_a_repetition():
    # The machine is ten times slower in the second repetition; the ratio does not notice.
    paired = evidence.compare("a", "rows/s", [200.0, 20.0, 200.0], ("peer", [100.0, 10.0, 100.0]), threads=1, goal=2.0)
    assert paired.ratio == pytest.approx(2.0)
    assert paired.spread == pytest.approx(0.0)
    assert (paired.ours, paired.peer, paired.met) == (200.0, 100.0, True)


def test_the_spread_is_that_of_the_ratios():
    spread = evidence.compare("a", "x/s", [10.0, 20.0, 40.0], ("peer", [10.0, 10.0, 10.0]), threads=1, goal=3.0)
    assert spread.spread == pytest.approx((4 - 1) / 2)
    assert spread.met is False


def test_a_comparison_without_a_goal_has_no_verdict():
    assert evidence.compare("a", "x/s", [1.0], ("peer", [1.0]), threads=1).met is None


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_series_of_different_lengths_are_an_error(ours, theirs):
    with pytest.raises(evidence.BenchError, match="as many repetitions"):
        evidence.compare("a", "x/s", ours, ("peer", theirs), threads=1)


def test_sides_take_turns(capsys):
    order = []
    sides = {name: lambda name=name: order.append(name) or float(len(order)) for name in ("ours", "peer")}
    assert evidence.interleave(sides, 3) == {"ours": [1.0, 3.0, 5.0], "peer": [2.0, 4.0, 6.0]}
    assert order == ["ours", "peer"] * 3
    assert capsys.readouterr().out == ""


def test_the_table_lines_up():
    lines = evidence.table([row(), row(name="a longer name", goal=None, met=None, ratio=0.5)]).splitlines()
    assert len({line.index("FBGEMM") for line in lines[1:]}) == 1
    assert "3.00x" in lines[1]
    assert "yes" in lines[1]
    assert lines[2].endswith("-")


def test_the_file_holds_the_machine_and_then_the_rows(tmp_path):
    path = evidence.write_evidence("train", [row()], tmp_path)
    machine, first = json.loads(path.read_text("utf-8"))
    assert set(machine["machine"]) >= {"cpu", "processors", "caches", "instruction_sets", "versions", "time"}
    assert machine["machine"]["versions"]["torch"]
    assert set(first) == {"name", "threads", "unit", "ours", "peer", "peer_name", "ratio", "spread", "goal", "met"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["train.json"]


def test_areas_are_found_by_the_names_of_files():
    assert "train_dlrm" in bench_run.modules_by_area()["train"]


def test_an_unknown_area_is_an_error_that_names_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "speed"])
    assert bench_run.main() == 2
    assert 'unknown area "speed", AREA, known: ' in capsys.readouterr().err


class Bench:
    """A module of an area that remembers how it was asked."""

    def __init__(self, *, counts: bool) -> None:
        self.asked = []
        if counts:
            self.PROCESSOR_TIME = True

    def measure(self, options):
        self.asked.append(options)
        return [row()]


def processor_run(monkeypatch, benches, written):
    monkeypatch.setattr(bench_run, "modules_by_area", lambda: {"train": list(benches)})
    monkeypatch.setattr(bench_run, "importlib", types.SimpleNamespace(import_module=benches.get))
    monkeypatch.setattr(evidence, "write_evidence", lambda name, rows: written.append((name, len(rows))))
    monkeypatch.setattr("sys.argv", ["run.py", "train", "--processor-time", "--threads", "1", "--repetitions", "3"])
    return bench_run.main()


def test_processor_time_is_asked_of_those_who_count_it_and_kept_apart(monkeypatch):
    benches = {"train_a": Bench(counts=True), "train_b": Bench(counts=False)}
    written = []
    assert processor_run(monkeypatch, benches, written) == 0
    assert benches["train_a"].asked == [evidence.Options(3, 1, processor_time=True)]
    assert benches["train_b"].asked == []
    assert written == [("train-processor", 1)]


def test_processor_time_that_nobody_counts_is_an_error(monkeypatch, capsys):
    written = []
    assert processor_run(monkeypatch, {"train_b": Bench(counts=False)}, written) == 1
    assert "no benchmark of this area counts processor time" in capsys.readouterr().err
    assert written == []


def test_click_data_has_the_shape_that_is_claimed():
    assert len(clicks.CARDINALITIES) == 26
    assert sum(clicks.CARDINALITIES) == 4_000_000
    table = clicks.make_table(4096, seed=3)
    assert table.num_rows == 4096
    assert 0.1 < table["label"].to_numpy().mean() < 0.5
    for name, cardinality in zip(clicks.FEATURE_NAMES, clicks.CARDINALITIES, strict=True):
        ids = table[name].to_numpy()
        assert 0 <= ids.min() <= ids.max() < cardinality
    assert clicks.make_table(64, seed=3).equals(clicks.make_table(64, seed=3))


def test_both_sides_of_the_workers_read_the_same_images(tmp_path, monkeypatch):
    monkeypatch.setattr(train_workers, "WORK", tmp_path)
    path = train_workers.write_images(40)
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert train_workers.write_images(40) == path
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == written
    images, labels = ddp.load(path)
    assert images.shape == (40, 1, 28, 28)
    assert abs(images.mean().item()) < 1e-4
    assert set(labels.tolist()) <= set(range(10))


@pytest.mark.parametrize(("kind", "parameters"), [("mlp", 266_610), ("lenet-c", 431_080)])
def test_the_peers_networks_have_the_zoos_sizes(kind, parameters):
    assert sum(p.numel() for p in ddp.network_of(kind).parameters()) == parameters


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [({"parameters": 9, "loss": 0.1}, "networks of"), ({"parameters": 8, "loss": float("nan")}, "does not learn")],
)
def test_workers_that_train_something_else_or_nothing_are_an_error(theirs, reason):
    ours = {"parameters": 8, "loss": 0.1}
    train_workers.check_answers({"taut": ours, "peer": ours})
    with pytest.raises(evidence.BenchError, match=reason):
        train_workers.check_answers({"taut": ours, "peer": theirs})


def test_the_peers_row_wise_adagrad_equals_plain_loops_on_the_summed_loss(monkeypatch):
    import torch

    monkeypatch.setattr(dlrm, "CARDINALITIES", (5, 7))
    monkeypatch.setattr(dlrm, "TABLES", 2)
    settings = dlrm.Settings(dim=4, batch=3)
    tables = dlrm.MergedEmbeddingBag(settings)
    before = tables.bag.weight.detach().clone()
    ids = torch.tensor([0, 5, 0, 6, 4, 11])  # [example, table]: row 0 is hit twice
    batch = dlrm.Batch(torch.zeros(3), torch.zeros(3, 13), ids, ids)
    slopes = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1))
    ((tables.lookup(batch) * slopes).sum() / settings.batch).backward()  # the mean loss
    tables.step()

    expected = before.clone()
    for row_id in ids.unique().tolist():
        gradient = sum(slopes.view(6, 4)[i] for i in range(6) if ids[i] == row_id)  # of the summed loss
        accumulated = settings.initial_accumulator + gradient.square().mean()
        expected[row_id] -= settings.table_rate * gradient / (accumulated.sqrt() + settings.epsilon)
    # fp32: a handful of roundings on values of size one.
    torch.testing.assert_close(tables.bag.weight.detach(), expected, rtol=1e-5, atol=1e-6)
