"""A sweep that waits for the runs of another."""

from experiments.runs import locks
from experiments.runs.locks import RunLocked
from experiments.runs.store import RunStore
from experiments.sweeps import sweep


class NewWorkers:
    """Every round has workers that were just started, as processes are."""

    def __init__(self, sample):
        self.sample, self.n_rounds = sample, 0

    def train(self, specs, store, report):
        self.n_rounds += 1
        return {spec.run_id: self._train(spec, RunStore(store.root)) for spec in specs}

    def _train(self, spec, store):
        try:
            with store.claim(spec):
                if store.is_done(spec):
                    return "found"
                self.sample.train(store, spec)
                return "trained"
        except RunLocked:
            return "held"


def test_a_run_whose_owner_died_on_another_machine_is_trained_here(
    tmp_path, sample, monkeypatch, clock
):
    monkeypatch.setattr(sweep, "sleep", clock.advance)
    store, spec = RunStore(tmp_path), sample.spec()
    with monkeypatch.context() as patch:
        patch.setattr(locks, "this_machine", lambda: "elsewhere")
        dead = RunStore(tmp_path).claim(spec)
    workers = NewWorkers(sample)
    assert sweep.run_sweep([spec], store, executor=workers, title="heir") == 1
    assert store.is_done(spec)
    assert workers.n_rounds == 2
    assert not dead.still_held()


def test_a_run_that_another_sweep_finishes_is_not_trained_again(tmp_path, sample, monkeypatch):
    store, spec, other = RunStore(tmp_path), sample.spec(), RunStore(tmp_path)
    lock = other.claim(spec)

    def finish(seconds):
        sample.train(other, spec)
        lock.release()

    monkeypatch.setattr(sweep, "sleep", finish)
    workers = NewWorkers(sample)
    assert sweep.run_sweep([spec], store, executor=workers, title="second") == 0
    assert store.is_done(spec)
    assert workers.n_rounds >= 2
