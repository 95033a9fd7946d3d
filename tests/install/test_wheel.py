"""The wheel in an environment of its own and an empty folder: README's Python, the command, other or no PyTorch."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import make_wheel

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TAUT_BUILD", ROOT / "build/release"))
PACKAGES = Path(pytest.__file__).parents[1]  # where the tested versions of all packages are installed
WITHOUT_TORCH = ("pyarrow", "numpy", "numpy.libs", "plotly", "narwhals", "_plotly_utils")


class Environment:
    """A virtual environment with the wheel, and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path):
        self.python = folder / "venv/bin/python"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        [self.packages] = folder.glob("venv/lib/python*/site-packages")
        install = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", str(wheel))
        subprocess.run([sys.executable, "-m", "pip", f"--python={self.python}", "install", *install], check=True)

    def sees(self, folder: Path) -> None:
        """Lets it import the packages of another folder, after its own."""
        (self.packages / "others.pth").write_text(f"{folder}\n")

    def link(self, name: str) -> None:
        """Lets it import one package, as if it were installed beside the wheel's."""
        for path in (PACKAGES / name, *PACKAGES.glob(f"{name}-*.dist-info")):
            if path.exists():
                (self.packages / path.name).symlink_to(path)

    def run(self, *command, expected: int = 0) -> str:
        """Runs a command of this environment; what it printed (with errors where it should fail)."""
        environment = {"PATH": f"{self.python.parent}:/usr/bin:/bin", "HOME": str(self.work)}
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, cwd=self.work, env=environment
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout if expected == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return make_wheel.make_wheel(BUILD, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, wheel) -> Environment:
    """With all packages, which lie elsewhere, as with --system-site-packages."""
    environment = Environment(tmp_path_factory.mktemp("whole"), wheel)
    environment.sees(PACKAGES)
    return environment


@pytest.fixture(scope="module")
def trained(whole) -> Path:
    """A folder with data.parquet, the run that learnt from it, and the run's package, all made by the command."""
    whole.run("taut", "synth", "data.parquet", "--rows", "20000")
    (whole.work / "ctr.toml").write_text(whole.run("taut", "init", "data.parquet"))
    whole.run("taut", "train", "ctr.toml", "--memory-budget", "1/10", "--out", "run")
    whole.run("taut", "export", "run", "model.taut")
    whole.run("taut", "predict", "model.taut", "data.parquet", "--out", "scores.csv")
    return whole.work


@pytest.fixture(scope="module")
def light(tmp_path_factory, wheel) -> Environment:
    """With pyarrow and what reports need, beside the package as pip puts them; no PyTorch."""
    environment = Environment(tmp_path_factory.mktemp("light"), wheel)
    for name in WITHOUT_TORCH:
        environment.link(name)
    return environment


def test_the_python_of_the_readme_and_the_docs_runs(whole):
    for page, least in (("README.md", 2), ("docs/python.md", 3), ("docs/quickstart.md", 2)):
        text = (ROOT / page).read_text("utf-8")
        found = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        blocks = [block for block in found if block.startswith("import")]  # others are parts of a program
        assert len(blocks) >= least
        (whole.work / "page.py").write_text("\n".join(blocks))
        whole.run("python", "page.py")


def test_the_command_trains_and_predicts_in_an_empty_folder(whole, trained):
    assert whole.run("taut", "--version") == whole.run("python", "-m", "taut", "--version")
    summary = json.loads((trained / "run/summary.json").read_text())
    assert 0 < summary["memory_bytes"] <= summary["full_bytes"] / 9
    assert len((trained / "scores.csv").read_text().splitlines()) == 20001


def test_the_exit_code_and_message_are_those_of_the_program(whole, light):
    for environment in (whole, light):
        assert environment.run("taut", "trian", expected=2).startswith('error: unknown command "trian"')


def test_without_pytorch_everything_but_training_works(trained, light):
    assert light.run("python", "-c", "import taut; print(taut.__version__)").strip() == "0.2.0"
    assert json.loads(light.run("taut", "plan", "lenet-c", "--accelerators", "4", "--json"))["bytes_per_step"] > 0
    light.run("taut", "predict", trained / "model.taut", trained / "data.parquet", "--out", "scores.csv")
    assert (light.work / "scores.csv").read_bytes() == (trained / "scores.csv").read_bytes()
    code = (
        "import sys, taut; print(taut.load(sys.argv[1]).predict(sys.argv[2]).num_rows, taut.plan('lenet-c')['model'])"
    )
    assert light.run("python", "-c", code, trained / "model.taut", trained / "data.parquet") == "20000 lenet-c\n"
    light.run("python", "-m", "taut.report", trained / "run", "--out", light.work / "report.html")


def test_without_pytorch_training_says_what_is_missing(light):
    message = light.run("taut", "train", "ctr.toml", expected=2)
    wanted = "error: this command needs PyTorch, taut was built for PyTorch 2.13.0, PyTorch is not installed"
    assert wanted in message


def test_another_pytorch_is_one_error_that_names_both_versions(light, tmp_path):
    """A package that calls itself PyTorch 2.12.1 and has neither operators nor libraries."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("class ops:\n    class taut:\n        pass\n")
    facts = tmp_path / "torch-2.12.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.12.1+cpu\n")
    light.sees(tmp_path)
    message = light.run("python", "-c", "import taut; taut.ElasticEmbeddingBag", expected=1)
    assert message.rstrip().endswith(
        "ImportError: taut was built for PyTorch 2.13.0, PyTorch 2.12.1 is installed, pip install torch==2.13.0"
    )


def test_without_pyarrow_the_command_says_so(tmp_path, wheel):
    bare = Environment(tmp_path, wheel)
    assert "error: taut was built for pyarrow" in bare.run("taut", "info", expected=2)


def test_versions_that_are_pinned_twice_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pinned = set((ROOT / "requirements.txt").read_text("utf-8").split())
    assert set(project["build-system"]["requires"]) <= pinned
    assert set(project["project"]["optional-dependencies"]["torch"]) <= pinned
    [pyarrow] = [line for line in project["project"]["dependencies"] if line.startswith("pyarrow==")]
    assert any(line.startswith(pyarrow.rstrip("*")) for line in pinned)
