"""Logs of training tools, made after their public documentation."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from scaling import fit_law, read_runs

STEPS = [100, 200, 400, 800, 1600, 3200]
LOSSES = [2.0 + 30 * step**-0.5 for step in STEPS]


@pytest.fixture
def read(tmp_path):
    def read(content: str, name: str = "log.csv", **options) -> pd.DataFrame:
        (tmp_path / name).write_text(content)
        return read_runs(tmp_path / name, **options)

    return read


def asymptote(frame: pd.DataFrame, x: str, y: str, **options) -> float:
    return fit_law(frame, x=x, y=y, n_boot=0, **options).params["E"]


def test_the_trainer_state_of_hugging_face(read):
    """https://huggingface.co/docs/transformers/main_classes/callback#transformers.TrainerState"""
    history = []
    for step, loss in zip(STEPS, LOSSES, strict=True):
        history += [
            {"epoch": step / 800, "grad_norm": 1.5, "learning_rate": 1e-4, "loss": 9, "step": step},
            {"epoch": step / 800, "eval_loss": loss, "eval_runtime": 1.0, "step": step},
        ]
    history.append({"epoch": 4.0, "step": 3200, "total_flos": 1e15, "train_loss": 3.0})
    state = {"best_metric": None, "epoch": 4.0, "global_step": 3200, "log_history": history}
    state |= {"is_hyper_param_search": False, "stateful_callbacks": {}, "trial_name": None}
    frame = read(json.dumps(state, indent=2), "trainer_state.json")
    assert frame.attrs["notes"] == ["the objects of 'log_history' as rows"]
    assert asymptote(frame, "step", "eval_loss") == pytest.approx(2.0, abs=1e-4)


def test_the_csv_logger_of_lightning(read):
    """Rows of training and of validation follow each other, with empty cells between."""
    rows = "".join(
        f"{step // 100},{step},3.9,\n{step // 100},{step},,{loss}\n"
        for step, loss in zip(STEPS, LOSSES, strict=True)
    )
    frame = read(f"epoch,step,train_loss,val_loss\n{rows}", "metrics.csv")
    assert asymptote(frame, "step", "val_loss") == pytest.approx(2.0, abs=1e-4)


def test_scalars_of_tensorboard(read):
    rows = [[1.7e9 + step, step, loss] for step, loss in zip(STEPS, LOSSES, strict=True)]
    text = "Wall time,Step,Value\n" + "".join(f"{t},{s},{v}\n" for t, s, v in rows)
    for frame in (read(text), read(json.dumps(rows), "scalars.json")):
        assert asymptote(frame, "Step", "Value") == pytest.approx(2.0, abs=1e-4)


def test_mlflow_by_run_and_by_metric(read):
    """Tables of `mlflow.search_runs` and of metric histories."""
    runs = pd.DataFrame(
        {
            "run_id": [f"{step:032x}" for step in STEPS],
            "status": "FINISHED",
            "start_time": "2026-01-01 00:00:00+00:00",
            "metrics.val_loss": LOSSES,
            "params.n_params": [f"{step}" for step in STEPS],
        }
    )
    frame = read(runs.to_csv(index=False))
    assert asymptote(frame, "params.n_params", "metrics.val_loss") == pytest.approx(2.0, abs=1e-4)
    history = "".join(
        f"{run},{key},{value + (run == 'b')},{step},1700000000000\n"
        for run in "ab"
        for key in ("loss", "lr")
        for step, value in zip(STEPS, LOSSES, strict=True)
    )
    frame = read(f"run_id,key,value,step,timestamp\n{history}")
    assert frame.columns.tolist() == ["run_id", "step", "loss", "lr"]
    one = frame[frame["run_id"] == "a"]
    assert asymptote(one, "step", "loss", groups=False) == pytest.approx(2.0, abs=1e-4)
    with pytest.raises(ValueError, match="line 14: 'loss' has a value at step 100 already"):
        read("key,value,step\n" + "".join(
            line.partition(",")[2].rpartition(",")[0] + "\n" for line in history.splitlines()
        ))  # fmt: skip


CHART = "Step,a - b - loss,a - b - loss__MIN,a - b - loss__MAX,c - loss,c - loss__MIN,c - loss__MAX"


def test_the_chart_of_wandb_is_a_row_a_step_and_run(read):
    frame = read(f"{CHART}\n10,5,5,5,6,6,6\n20,4,4,4,,,\n30,,,,5.5,5.5,5.5\n")
    assert frame.to_dict("list") == {
        "Name": ["a - b", "a - b", "c", "c"],
        "Step": [10, 20, 10, 30],
        "loss": [5.0, 4.0, 6.0, 5.5],
    }
    with pytest.raises(ValueError, match=r"'c - loss' appears more than once.*of the same name"):
        read("Step,c - loss,c - loss\n10,5,6\n")


def histories(*columns: str) -> str:
    """Steps of three runs, one after another."""
    lines = [
        ",".join(
            [f"{step}", f"{n:g}", f"{4 - step / 1000 + 1e3 / n}", *(f"r{n:g}" for _ in columns)]
        )
        for n in (1e6, 1e7, 1e8)
        for step in (100, 200, 300)
    ]
    return "\n".join([",".join(["_step", "n_params", "loss", *columns]), *lines])


def test_histories_without_a_run_need_one(read):
    text = histories()
    with pytest.raises(ValueError, match=r"line 5: _step starts again at 100 .*--label"):
        read(text)
    with pytest.raises(ValueError, match=r"line 5: trainer/global_step starts again at 100"):
        read(text.replace("_step", "trainer/global_step"))
    assert len(read(text, label="n_params")) == 9
    assert len(read(histories("run"))) == 9
    falling = "_step,loss\n300,3\n200,4\n100,5\n"  # one run, the latest first
    assert len(read(falling)) == 3
