"""Programs beside the tests that start processes of torch.distributed, and what they answer."""

import json
import os
import subprocess
import sys
from pathlib import Path


def answers_of(program: Path, cases: list, seconds: int) -> object:
    """What the program prints as JSON about the cases; it may take so many seconds."""
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment["GLOO_SOCKET_IFNAME"] = "lo"  # the host's name need not be one of an address
    line = [sys.executable, str(program), json.dumps(cases)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
