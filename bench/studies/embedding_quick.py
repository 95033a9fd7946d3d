"""A study of seconds on synthetic data: every stage and table once, as a check that the study works. No evidence."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import embedding_plan as plans
from embedding_plan import Plan
from engine import DataSet, StudyError, write_text

CONFIG = """
[data]
train = "${{TAUT_STUDY}}/synthetic/train.parquet"
valid = "${{TAUT_STUDY}}/synthetic/valid.parquet"
test = "${{TAUT_STUDY}}/synthetic/test.parquet"
label = "label"
dense = [{dense}]
categorical = [{categorical}]
shuffle = 10000
[model]
bottom = [8]
top = [16]
[embedding]
initial_accumulator = 0.2
[train]
batch_size = 128
log_every = 20
checkpoint_every = 0
"""


def make_data(program: Path, folder: Path) -> None:
    """Synthetic rows, once."""
    path = folder / "synthetic" / "train.parquet"
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [str(program), "synth", str(path), "--rows", "6000", "--columns", "3", "--dense", "2", "--ids", "300"]
    command += ["--multi-columns", "1", "--split", "0.8,0.1,0.1"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise StudyError(f"taut synth failed: {done.stderr.strip()}, {path}")


def make_plan(program: Path, folder: Path, known_methods: Sequence[str]) -> Plan:
    """The whole study in small: two methods and the full table, one budget, one seed."""
    make_data(program, folder)
    sets = {"synthetic": ('"c_0", "c_1"', ""), "synthetic-all": ('"c_0", "c_1", "c_2"', '"d_0", "d_1"')}
    for name, (categorical, dense) in sets.items():
        write_text(folder / f"{name}.toml", CONFIG.format(categorical=categorical, dense=dense))
    single = DataSet("synthetic", folder / "synthetic.toml", 0.5, budgets=("1/4",))
    every = DataSet("synthetic-all", folder / "synthetic-all.toml", 0.5)
    return Plan(
        sets=(single,),
        ablation_sets=(single,),
        drift_set=single,
        feature_sets=(every,),
        methods=tuple(method for method in ("full", "hash", "elastic") if method in known_methods),
        rates=("0.4", "0.8"),
        tuning_budgets=("1/4",),
        ablations=plans.ABLATIONS[:2],
        ablation_budgets=("1/4",),
        drift_budget="1/4",
        drift_variants=plans.DRIFT_VARIANTS[:1],
        full_models=plans.FULL_MODELS[:1] + plans.FULL_MODELS[2:3],
        feature_budgets=("1/4",),
        missing=tuple(method for method in plans.METHODS if method not in known_methods),
    )
