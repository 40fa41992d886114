"""States are cut over the devices of a mesh, and what each device then holds."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.config import ModelConfig
from models.training.devices import configure_host_devices
from models.training.sharding import Mesh, state_shardings
from models.training.train import Program, init_state

MODEL = ModelConfig.from_width(64, vocab_size=512, context=16)


def held_bytes(states):
    """Bytes that the first device holds, over those of all arrays."""
    leaves = jax.tree.leaves(states)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
    return held / sum(leaf.nbytes for leaf in leaves)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("axis", ["member", "data", "model"])
def test_a_device_of_two_holds_half_of_weights_and_moments(axis, optimizer):
    mesh = Mesh(**{axis: 2}).over(jax.local_devices()[:2])
    one = init_state(Program(model=MODEL, optimizer=optimizer), 0)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), one)
    placed = jax.device_put(states, state_shardings(mesh, states))
    assert held_bytes(placed) == pytest.approx(0.5, abs=0.01)  # gains are whole
    for shards, whole in zip(jax.tree.leaves(placed), jax.tree.leaves(states), strict=True):
        np.testing.assert_array_equal(shards, whole)


def measure():
    """Train on 8 host devices with states cut and whole; print losses and memory as JSON."""
    configure_host_devices(8)
    from unittest import mock

    from models.training import side_by_side
    from tests.models.training.test_side_by_side import make_job, run

    found = {}
    for name, whole in (("cut", False), ("whole", True)):
        side_by_side.stacked_segment.cache_clear()
        made, held = side_by_side.stacked_segment, []

        def watched(program, mesh, made=made, held=held):
            def call(*given):
                after, losses = made(program, mesh)(*given)
                held.append(held_bytes(after))
                return after, losses

            return call

        def replicated(mesh, states):
            return jax.tree.map(lambda _: side_by_side.member_sharding(mesh), states)

        shardings = replicated if whole else state_shardings
        with (
            mock.patch.object(side_by_side, "state_shardings", shardings),
            mock.patch.object(side_by_side, "stacked_segment", watched),
        ):
            jobs = [make_job("a", n_tokens=2048), make_job("b", seed=1, n_tokens=2048)]
            _, losses = run(jobs, layout="side_by_side", mesh=Mesh(member=2, data=4))
        found[name] = {"losses": [losses[job.id].tolist() for job in jobs], "held": held}
    print(json.dumps(found))


@pytest.mark.long
def test_losses_with_states_cut_over_eight_devices_equal_those_with_whole_ones():
    script = "from tests.models.training.test_sharding import measure; measure()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["cut"]["losses"], found["whole"]["losses"], atol=1e-4)
    # Of two members a device holds one; of it, a quarter. Axes of 4 do not divide the 30 tokens.
    assert found["whole"]["held"] == [0.5] * len(found["whole"]["held"])
    assert max(found["cut"]["held"]) < 0.5 / 4 * 1.1
