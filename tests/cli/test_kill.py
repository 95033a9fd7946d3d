"""A run that is killed at random moments ends with the same bits as one that never was."""

import json
import random
import shutil
import signal
import subprocess
import time

FIELDS = ("auc", "log_loss", "normalized_entropy", "valid", "test", "memory_bytes", "resident_rows")
KILLS = 20


def lasting_lines(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "rebalance_seconds")} for line in lines
    ]


def test_kill_at_random_moments_20_times(program, taut, workspace):
    config = workspace / "ctr.toml"
    settings = ("--set", "train.epochs=12", "--set", "train.checkpoint_every=3")
    whole = taut("train", config, "--out", workspace / "whole", *settings, "--json").json
    run = workspace / "killed"
    command = [program, "train", config, "--out", run, *settings, "--resume", "--json"]
    rng = random.Random(2401)
    started = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    alone = time.monotonic() - started
    shutil.rmtree(run)

    kills = 0
    while kills < KILLS:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            out, _ = process.communicate(timeout=rng.uniform(0.02, 0.6 * alone))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        # It got to its end between two kills: check it, and start another to go on killing.
        assert {field: json.loads(out)[field] for field in FIELDS} == {f: whole[f] for f in FIELDS}
        shutil.rmtree(run)
    result = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for field in FIELDS:
        assert result[field] == whole[field], field
    assert lasting_lines(run) == lasting_lines(workspace / "whole")
    assert not [path for path in (run / "checkpoint").iterdir() if ".tmp." not in path.name and path.suffix != ".taut"]
