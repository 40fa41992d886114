"""The prediction after a prompt is that of the whole model, whatever else is in the batch."""

import numpy as np
import pytest

from models.config import ModelConfig
from models.evals.next_token import BATCH_PROMPTS, next_log_probs
from models.training.train import init_params, token_log_probs


@pytest.mark.long
def test_each_prompt_is_predicted_as_if_alone():
    model = ModelConfig.from_width(16, vocab_size=50, context=12)
    params = init_params(model, 0)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(50, size=rng.integers(1, 13)) for _ in range(BATCH_PROMPTS + 3)]
    found = next_log_probs(model, params, prompts)
    assert found.shape == (len(prompts), 50)
    for at in (0, 5, len(prompts) - 1):
        alone = token_log_probs(model, params, prompts[at][None])[0, -1]
        assert np.allclose(found[at], alone, atol=1e-5)
    with pytest.raises(ValueError, match="prompts must have 1 to 12 tokens"):
        next_log_probs(model, params, [np.zeros(13, int)])
