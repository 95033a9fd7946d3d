"""The planner's speed against its goals, and its plans against those of other searches on the same cost model.

The peers are searches, not programs: a uniform data or tensor parallel plan, a hybrid of both (as Megatron-LM is run),
one degree of each split a layer (the space of OptCNN), one split a layer along each axis of a two-dimensional mesh (the
space of Alpa). The C++ program bench/parallel/planner_bench.cc measures and checks them all.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import evidence

PROGRAM = evidence.ROOT / "build" / "release" / "bench" / "parallel" / "taut_parallel_bench"


def measure(_options: evidence.Options) -> list[evidence.Row]:
    """Runs the program and takes over its rows; its growth plot lands beside the evidence."""
    if not PROGRAM.exists():
        raise evidence.BenchError(f"build first: {PROGRAM} is missing")
    evidence.RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "parallel.json"
        plot = evidence.RESULTS / "parallel_growth.html"
        done = subprocess.run(
            [PROGRAM, "--json", result, "--plot", plot],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise evidence.BenchError(f"{PROGRAM.name}: {done.stderr.strip()}")
        print(done.stdout, file=sys.stderr)
        return [evidence.Row(**row) for row in json.loads(result.read_text("utf-8"))["results"]]
