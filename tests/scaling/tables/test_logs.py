"""Logs of training tools, made after their public documentation."""

from __future__ import annotations

import gzip
import json
import struct

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


def varint(value: int) -> bytes:
    value %= 2**64
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def part(number: int, value: bytes | float | int, form: str = "<f") -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, bytes):
        return bytes([number * 8 + 2]) + varint(len(value)) + value
    if isinstance(value, int):
        return bytes([number * 8]) + varint(value)
    return bytes([number * 8 + (5 if form == "<f" else 1)]) + struct.pack(form, value)


def crc(data: bytes) -> int:
    """CRC-32C bit by bit."""
    value = 2**32 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
    return value ^ 2**32 - 1


def record(data: bytes) -> bytes:
    def masked(of: bytes) -> bytes:
        value = crc(of)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) % 2**32)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def event(step: int, *values: bytes) -> bytes:
    summary = b"".join(part(1, value) for value in values)
    return record(part(1, 1.7e9, "<d") + part(2, step) + part(5, summary))


def simple(tag: str, number: float) -> bytes:
    return part(1, tag.encode()) + part(2, number)


def tensor(tag: str, number: float) -> bytes:
    """As TensorFlow 2 writes a scalar; a histogram has a shape."""
    content = part(1, 1) + part(2, b"") + part(4, struct.pack("<f", number))
    return part(1, tag.encode()) + part(8, content) + part(9, part(1, part(1, b"scalars")))


START = record(part(1, 1.7e9, "<d") + part(3, b"brain.Event:2"))


@pytest.mark.parametrize("value", [simple, tensor])
def test_event_files_of_tensorboard_give_a_column_per_tag(tmp_path, value):
    """https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details"""
    assert crc(b"123456789") == 0xE3069283  # RFC 3720, as every catalogue of checksums has it
    image = part(1, b"sample") + part(4, part(1, 8) + part(4, b"png"))
    content = START + b"".join(
        event(step, value("eval/loss", loss), value("lr", 0.5)) + event(step, image)
        for step, loss in zip(STEPS, LOSSES, strict=True)
    )
    path = tmp_path / "events.out.tfevents.1700000000.host.1.0"
    path.write_bytes(content)
    frame = read_runs(path)
    assert frame["lr"].tolist() == [0.5] * len(STEPS)
    assert asymptote(frame, "step", "eval/loss") == pytest.approx(2.0, abs=1e-4)
    path.write_bytes(gzip.compress(content + event(9, value("lr", 1.0))[:-1]))
    cut = read_runs(path)
    assert cut.equals(frame)
    assert "an unfinished last record left out" in cut.attrs["notes"]
    path.write_bytes(content + event(STEPS[0], value("lr", 0.5)))  # as Lightning repeats the epoch
    assert read_runs(path).equals(frame)
    path.write_bytes(content + event(STEPS[0], value("lr", 1.0)))
    with pytest.raises(ValueError, match="'lr' has another value at step 100 already"):
        read_runs(path)
    path.write_bytes(START + event(1, image))
    with pytest.raises(ValueError, match="an event file of TensorBoard without scalars"):
        read_runs(path)


def test_a_damaged_event_file_is_refused_or_has_its_numbers(tmp_path):
    content = START + b"".join(event(step, simple("loss", 2.5)) for step in (1, 2))
    path = tmp_path / "events"
    path.write_bytes(content)
    whole = read_runs(path)
    for at in range(len(START), len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :])
        with pytest.raises(ValueError, match=r"^events, record [23]: "):
            read_runs(path)
        path.write_bytes(content[:at])
        if at < len(content) - len(event(2, simple("loss", 2.5))):
            with pytest.raises(ValueError, match="without scalars"):
                read_runs(path)
        else:
            assert read_runs(path).equals(whole[:1])


def test_tables_of_tags(read):
    rows = "".join(f"a,loss,{s},{y}\na,lr,{s},.1\n" for s, y in zip(STEPS, LOSSES, strict=True))
    frame = read(f"run,tag,step,value\n{rows}")
    assert asymptote(frame, "step", "loss", groups=False) == pytest.approx(2.0, abs=1e-4)


def test_metric_files_of_mlflow(read):
    """https://mlflow.org/docs/latest/self-hosting/architecture/backend-store: the file store."""
    text = "".join(f"1700000000{s:04d} {y} {s}\n" for s, y in zip(STEPS, LOSSES, strict=True))
    frame = read(text, "val_loss")
    assert asymptote(frame, "step", "value") == pytest.approx(2.0, abs=1e-4)
    with pytest.raises(ValueError, match="line 7: not a time, a value and a step"):
        read(f"{text}1700000000000 3.5\n", "val_loss")


def test_runs_as_the_server_of_mlflow_gives_them(read):
    """https://mlflow.org/docs/latest/api_reference/rest-api.html#search-runs"""
    runs = [
        {
            "info": {"run_id": f"{step:032x}", "status": "FINISHED"},
            "data": {
                "metrics": [{"key": "loss", "value": loss, "timestamp": 1, "step": 0}],
                "params": [{"key": "n_params", "value": str(step)}],
            },
        }
        for step, loss in zip(STEPS, LOSSES, strict=True)
    ]
    frame = read(json.dumps({"runs": runs}))
    assert asymptote(frame, "data.params.n_params", "data.metrics.loss") == pytest.approx(2.0)


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
    with pytest.raises(ValueError, match="line 14: 'loss' has another value at step 100 already"):
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
