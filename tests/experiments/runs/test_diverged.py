"""A run that diverged: kept by the store, left out of fits with its reason."""

import numpy as np

from experiments.runs.store import RunStore
from models.config import ModelConfig
from scaling import fit_law


def test_a_diverged_run_is_visible_in_the_fit_that_leaves_it_out(tmp_path, sample):
    store = RunStore(tmp_path)
    for seed, width in enumerate((2, 4, 8, 16, 32, 64)):
        model = ModelConfig.from_width(width, vocab_size=30, context=8)
        spec = sample.spec(seed=6 - seed, model=model)
        sample.train(store, spec, diverged=width == 16)
    frame = store.frame()
    assert len(frame) == 6
    fit = fit_law(frame, "power", x="n_params", y="validation_loss", n_boot=0)
    assert fit.n_rows == 5
    assert fit.excluded == {"the training loss stopped being a number at step 40": 1}
    assert fit.warnings[0] == (
        "1 of 6 rows have no validation_loss and are left out: "
        "1 x the training loss stopped being a number at step 40."
    )
    assert np.isfinite(list(fit.params.values())).all()
