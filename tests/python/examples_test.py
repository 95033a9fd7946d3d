"""The Python examples run, and do what they say."""

import re

import pytest
from embedding_support import ROOT, run_python

import taut


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    path = tmp_path_factory.mktemp("clicks") / "data.parquet"
    taut.run("synth", path, rows=20000)
    return path


def run_dlrm(*arguments):
    code = f"import runpy; runpy.run_path({str(ROOT / 'examples/dlrm.py')!r}, run_name='__main__')"
    auc, held, speed = re.findall(r"[\d.]+", run_python(code, *arguments))
    assert float(speed) > 0
    return float(auc), int(held)


def test_dlrm_learns_in_a_tenth_of_the_memory(clicks):
    dense, full = run_dlrm(clicks, "--dense")
    elastic, held = run_dlrm(clicks)
    assert held <= full * 17 / 16 / 10  # a tenth of rows of 16 values and one of Adagrad's
    assert elastic > 0.55
    assert elastic > dense - 0.01
