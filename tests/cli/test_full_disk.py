"""Files that the commands write, where they may not grow past a limit as on a full disk: the old file
stays, nothing lies beside it, and one line names what could not be written."""

import resource
import subprocess

import pytest

SYNTH = ("synth", "--rows", "4000", "--ids", "500")

# arguments, the file that they write last
WRITERS = {
    "synth_csv": (SYNTH, "x.csv"),
    "synth_parquet": (SYNTH, "x.parquet"),
    "trace": (("simulate", "alexnet", "--trace"), "step.json"),
    "figures": (("figures", "--out"), "figures.html"),
}


def limited(program, args, limit):
    """The program where no file may be longer than the limit."""
    return subprocess.run(
        [program, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


@pytest.mark.parametrize("name", WRITERS)
def test_the_old_file_stays_and_the_error_names_the_new(program, tmp_path, name):
    args, file = WRITERS[name]
    path = tmp_path / file
    whole = limited(program, (*args, path), resource.RLIM_INFINITY)
    assert whole.returncode == 0, whole.stderr
    written = path.read_bytes()
    assert len(written) > 2000
    for limit in (0, 1, 1000, len(written) // 2, len(written) - 1):
        path.write_text("old")
        done = limited(program, (*args, path), limit)
        assert done.returncode == 2, (limit, done.stderr)
        error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(error) == 1 and str(path) in error[0], (limit, done.stderr)
        assert path.read_text() == "old", limit
        assert [one.name for one in tmp_path.iterdir()] == [file], limit
    again = limited(program, (*args, path), len(written))
    assert again.returncode == 0, again.stderr
    assert path.read_bytes() == written, "the same options write the same bytes"
