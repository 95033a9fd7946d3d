"""What needs no PyTorch works where there is none: packages, plans, reports, and a clear error for the rest."""

import json

import pytest
import torch
from embedding_support import run_python

import taut

# Nothing of PyTorch can be imported, and its package is not there.
HIDDEN = """
import importlib.metadata, sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "functorch", "torchgen"):
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path = [Hiding(finder) for finder in sys.meta_path]
version = importlib.metadata.version

def none_of_torch(package):
    if package == "torch":
        raise importlib.metadata.PackageNotFoundError(package)
    return version(package)

importlib.metadata.version = none_of_torch
import taut
"""


def without_torch(code, *arguments):
    """What code printed, where nothing of PyTorch is in the end."""
    told = run_python(f"{HIDDEN}\n{code}\nassert 'torch' not in sys.modules", *arguments)
    return told.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A plan of a module, a run and its package, made where PyTorch is."""
    folder = tmp_path_factory.mktemp("made")
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    taut.plan(model, torch.randn(8, 8), accelerators=4).to_json(folder / "plan.json")
    taut.run("synth", folder / "data.parquet", rows=2000)
    config = folder / "ctr.toml"
    config.write_text(run_python("from taut.__main__ import main; main()", "init", folder / "data.parquet"))
    taut.train(config, folder / "run", progress=False, set={"train.epochs": 1})
    taut.run("export", folder / "run", folder / "model.taut")
    return folder


def test_plans_are_made_read_and_printed(folder):
    told = without_torch(
        "print(taut.plan('lenet-c', accelerators=12)['factors'])\n"
        "plan = taut.Plan.from_json(sys.argv[1])\n"
        "print(plan.parameters['0.weight']['layer'], plan.types_on((4,)) and 'types', len(str(plan)) > 100)",
        folder / "plan.json",
    )
    assert told.splitlines() == ["[2, 2, 3]", "0 types True"]


def test_packages_are_scored(folder):
    told = without_torch(
        "package = taut.load(sys.argv[1])\n"
        "scores = package.predict(sys.argv[2])\n"
        "print(scores.num_rows, scores.column_names)",
        folder / "model.taut",
        folder / "data.parquet",
    )
    assert told == "2000 ['row', 'score']"


def test_reports_are_written(folder):
    page = folder / "report.html"
    without_torch(
        "from taut import report\nsys.argv = ['report', sys.argv[1], '--out', sys.argv[2]]\nreport.main()",
        folder / "run",
        page,
    )
    assert "<html" in page.read_text()


def test_what_needs_pytorch_says_so_and_which():
    told = without_torch(
        "import json\n"
        "said = {}\n"
        "for name in ('ElasticEmbeddingBag', 'parallelize', 'sparsify', 'TablesOptimizer', 'UnknownOperatorError'):\n"
        "    try:\n"
        "        getattr(taut, name)\n"
        "    except ImportError as error:\n"
        "        said[name] = str(error)\n"
        "print(json.dumps(said))"
    )
    said = json.loads(told)
    assert len(said) == 5
    version = torch.__version__.partition("+")[0]
    for name, text in said.items():
        assert text.startswith(f"taut.{name} needs PyTorch, taut was built for PyTorch {version}"), text
        assert text.endswith(f"PyTorch is not installed, pip install torch=={version}"), text
