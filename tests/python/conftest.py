"""Folders of made-up runs and sweeps."""

import json

import pytest
from report_support import CSV_HEADER, image_line, image_summary, metrics_line, summary_of


@pytest.fixture
def make_run(tmp_path):
    """Writes a run's folder; ... leaves a file out."""

    def make(name, method="elastic", auc=0.7, lines=None, summary=None, config=None, *, data="f.parquet"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        lines = [metrics_line(step) for step in range(10, 110, 10)] if lines is None else lines
        config = (
            f'[data]\ntrain = ["{data}"]\n[embedding]\nmethod = "{method}"\nbudget = 0.1\n'
            if config is None
            else config
        )
        if lines is not ...:
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if summary is not ...:
            (folder / "summary.json").write_text(json.dumps(summary or summary_of(method, auc)))
        if config is not ...:
            (folder / "config.toml").write_text(config)
        return folder

    return make


@pytest.fixture
def make_sweep(tmp_path):
    def make(body, header=CSV_HEADER):
        folder = tmp_path / "sweep"
        folder.mkdir()
        (folder / "results.csv").write_text(header + body)
        return folder

    return make


@pytest.fixture
def make_image_run(make_run):
    def make(name, summary=None, lines=None, data="/data/cifar10"):
        lines = [image_line(step) for step in range(10, 110, 10)] if lines is None else lines
        config = f'task = "image"\n[data]\ntrain = ["{data}"]\n[model]\nkind = "vgg-small"\nunit = "position"\n'
        return make_run(name, lines=lines, summary=summary or image_summary(), config=config)

    return make
