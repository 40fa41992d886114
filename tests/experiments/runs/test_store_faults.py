"""A store on a full disk, on a read-only one, and where no store can be."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.runs.files import StoreError, storing, write_json
from experiments.runs.store import RunStore
from models.training.train import Program, init_state


def mount(folder, *options):
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "size=400k"):
        pytest.skip("this process may not mount a file system of its own")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Take all the space of a file system, to the last block."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return filler


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk_is_a_clear_error_and_the_store_goes_on_when_there_is_space(small_disk, sample):
    store = RunStore(small_disk)
    done, half, new = (sample.spec(seed=seed) for seed in range(3))
    sample.train(store, done)
    store.begin(half)
    store.append(half, sample.segment(half, np.ones(10)))
    store.keep_state(half, init_state(Program(model=half.model), 0))
    before = contents(small_disk)
    filler = fill(small_disk)
    more = init_state(Program(model=half.model), 1)
    for write in (
        lambda: append_all(store, sample, half),
        lambda: store.keep_state(half, more),
        lambda: store.finish(half, sample.finished(half)),
        lambda: store.fail(half, "x" * 10_000),
        lambda: store.claim(half),
        lambda: store.begin(new),
        lambda: write_json_in(store.root),
    ):
        with pytest.raises(StoreError, match=rf"^the disk of {small_disk} is full: free some"):
            write()
    frame = store.frame()
    assert frame["run_id"].tolist() == [done.run_id]
    after = contents(small_disk)
    metrics = store.folder(half) / "metrics.jsonl"
    assert after[metrics].startswith(before[metrics])
    assert all(after[path] == content for path, content in before.items() if path != metrics)
    filler.unlink()
    assert store.kept_state(half) is not None
    np.testing.assert_array_equal(store.losses(half)[:10], np.ones(10))
    with store.claim(half):
        store.append(half, sample.segment(half, np.ones(54), first_step=10))
        store.finish(half, sample.finished(half))
    np.testing.assert_array_equal(store.losses(half), np.ones(64))
    assert sorted(store.frame()["seed"]) == [0, 1]
    assert {path.name for path in store.folder(half).iterdir()} == {
        *("spec.json", "metrics.jsonl", "params.safetensors", "result.json")
    }


def append_all(store, sample, spec):
    """Append until the last block that the file already had is full too."""
    for _ in range(50):
        store.append(spec, sample.segment(spec, np.ones(54), first_step=10))


def write_json_in(root):
    with storing(root):
        write_json(root / "ensembles" / "key.json", list(range(100_000)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_metrics_that_the_disk_refuses_are_a_clear_error(tmp_path, sample):
    """The same without a file system of our own: a device that is always full."""
    store, spec = RunStore(tmp_path), sample.spec()
    store.begin(spec)
    (store.folder(spec) / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="is full"):
        store.append(spec, sample.segment(spec, np.ones(10)))


@pytest.fixture
def read_only(tmp_path, sample):
    """A store with a finished and an unfinished run that nobody may write to."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and mount(folder, "size=4m")
    if os.geteuid() == 0 and not mounted:
        pytest.skip("root may write everywhere, and may not mount a file system of its own here")
    store = RunStore(folder)
    sample.train(store, sample.spec())
    store.begin(sample.spec(seed=1))
    folders = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    if mounted:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    else:
        for path in folders:
            path.chmod(0o555)
    yield store
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)
    else:
        for path in folders:
            path.chmod(0o755)


def test_a_read_only_store_is_read_and_says_why_it_is_not_written(read_only, sample):
    store, unfinished = read_only, sample.spec(seed=1)
    assert store.frame()["seed"].tolist() == [0]
    assert store.overview()["status"].tolist() == ["done", "waiting"]
    assert store.params(sample.spec())
    refused = rf"^{store.root} lies on a read-only file system: give|^there is no permission to use"
    for write in (
        lambda: store.begin(sample.spec(seed=2)),
        lambda: store.append(unfinished, sample.segment(unfinished, np.ones(2))),
        lambda: store.claim(unfinished),
        lambda: store.keep_state(unfinished, init_state(Program(model=unfinished.model), 0)),
        lambda: store.finish(unfinished, sample.finished(unfinished)),
        lambda: store.fail(unfinished, "x"),
    ):
        with pytest.raises(StoreError, match=refused):
            write()
    # A finished run that asks for nothing new is no reason to write.
    store.begin(sample.spec())


def test_a_read_only_store_is_shown(read_only):
    command = [sys.executable, "-m", "experiments.cli.app", "show", str(read_only.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 done, 1 waiting" in done.stdout


def test_a_file_in_the_way_is_no_store(tmp_path, sample):
    (tmp_path / "runs").write_text("a file")
    store = RunStore(tmp_path / "runs")
    for use in (
        store.frame,
        lambda: store.begin(sample.spec()),
        lambda: store.claim(sample.spec()),
    ):
        with pytest.raises(StoreError, match="is not a folder of runs: a file is in the way"):
            use()
