"""A run that is killed at random moments ends with the same bits as one that never was."""

import json
import random
import shutil
import signal
import subprocess
import time

import pytest

VOLATILE = ("run", "threads", "train_seconds", "examples_per_second", "rebalance_seconds")
KILLS = 20
CASES = {
    "clicks": ("workspace", "ctr.toml", ("train.epochs=12", "train.checkpoint_every=3")),
    "images": ("image_workspace", "images.toml", ("train.epochs=24", "prune.share=0.5")),
}


def lasting(summary):
    return {field: value for field, value in summary.items() if field not in VOLATILE}


def lasting_lines(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "rebalance_seconds")} for line in lines
    ]


@pytest.mark.parametrize(("folder", "config", "settings"), CASES.values(), ids=CASES.keys())
def test_kill_at_random_moments_20_times(program, taut, request, folder, config, settings):
    workspace = request.getfixturevalue(folder)
    config = workspace / config
    settings = [word for setting in settings for word in ("--set", setting)]
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
        assert lasting(json.loads(out)) == lasting(whole)
        shutil.rmtree(run)
    result = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert lasting(result) == lasting(whole)
    assert lasting_lines(run) == lasting_lines(workspace / "whole")
    assert not [path for path in (run / "checkpoint").iterdir() if ".tmp." not in path.name and path.suffix != ".taut"]
    assert (run / "network.json").read_text() == (workspace / "whole" / "network.json").read_text()
