"""Published run tables by name.

A table is read from the data folder (see `data_folder`) if it is there. Otherwise, if the public
file is the table itself, it is downloaded once by `pooch`. Either way its sha256 is checked. No
table is part of this project.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

GITHUB = "https://raw.githubusercontent.com"
DATA_VARIABLE = "DATAWALL_DATA"
"""Environment variable that names the data folder."""
BESIDE_CHECKOUT = Path(__file__).parents[3] / "shared" / "data"
"""Data folder beside a checkout of the project; an installed package has none."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Origin of a published table, and how it is read.

    Attributes:
        name: the name that `load_dataset` accepts.
        path: path of the file below the data folder.
        sha256: checksum of that file.
        origin: repository, commit and path from which the table was taken.
        licence: licence stated by that repository.
        prepare: maps the frame read from the file to the published rows, with the columns of the
            law.
        url: URL of the public file if that is the table itself, or holds its rows among others.
        url_sha256: checksum of the public file if it is not identical.
    """

    name: str
    path: str
    sha256: str
    origin: str
    licence: str
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    url: str | None = None
    url_sha256: str | None = None


def _epoch(frame: pd.DataFrame) -> pd.DataFrame:
    """240 of 245 rows: Epoch's fit leaves the five largest losses out; D = FLOP / (6 N)."""
    frame = frame.rename(columns={"Model Size": "n_params", "Training FLOP": "flops"})
    frame["n_tokens"] = frame["flops"] / (6.0 * frame["n_params"])
    kept = frame["loss"] < frame["loss"].nlargest(5).min()
    return frame.loc[kept, ["n_params", "n_tokens", "flops", "loss"]].reset_index(drop=True)


def _gemstones(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(
        columns={"params_active_precise": "n_params", "tokens": "n_tokens", "final_loss": "loss"}
    )


def _data_constrained(frame: pd.DataFrame) -> pd.DataFrame:
    """The 182 runs of the notebook's cell 25, which the published fit used."""
    names = {
        "params": "n_params",
        "tokens": "n_tokens",
        "unique_tokens": "n_unique_tokens",
        "val_loss": "loss",
    }
    return frame[frame["cell"] == 25].rename(columns=names).reset_index(drop=True)


def _gadre(frame: pd.DataFrame) -> pd.DataFrame:
    names = {"N": "n_params", "D": "n_tokens", "loss_c4_val": "loss"}
    return frame.rename(columns=names)


def _kempner(frame: pd.DataFrame) -> pd.DataFrame:
    """Finished runs on three corpora, column `corpus`; the loss is that of C4 validation text."""
    return frame.rename(columns={"c4_loss": "loss"})


def _steplaw(frame: pd.DataFrame) -> pd.DataFrame:
    """Best run of each grid of learning rates and batch sizes: 17 pairs of size and tokens."""
    best = frame.groupby(["n_params", "n_tokens"])["loss"].idxmin()
    return frame.loc[best].reset_index(drop=True)


def _porian(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"n": "n_params", "n_star_std": "log_stderr"})


def _learning_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """The 36 curves of the tasks on birds and on ImageNet; the public file has twice as many."""
    frame = frame[frame["Task"].str.startswith(("bird_", "inet_"))].reset_index(drop=True)
    names = {
        "Domain": "domain",
        "Task": "task",
        "Model": "model",
        "Seen Examples": "n_examples",
        "Loss": "loss",
        "Training": "is_fit",
    }
    return frame.rename(columns=names)


def _training_sets(frame: pd.DataFrame) -> pd.DataFrame:
    """Language models since 2010: `year` as a decimal, `size` (words times 4/5), `flops`."""
    day = pd.to_datetime(frame["date"])
    year = day.dt.year + (day.dt.day_of_year - 1) / 365.25
    found = pd.DataFrame(
        {
            "system": frame["system"],
            "year": year,
            "size": frame["dataset"] * 4 / 5,
            "flops": frame["comp"],
        }
    )
    return found[day >= "2010-01-01"].sort_values("year", ignore_index=True)


def _infinite_compute(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs, asymptotes, tuned hyperparameters and benchmarks; `n_params` in units of one."""
    size = pd.to_numeric(frame["params_B"], errors="coerce") * 1e9
    names = {
        "members_K": "n_members",
        "seed_tokens": "n_unique_tokens",
        "epochs": "n_epochs",
        "lr": "learning_rate",
    }
    return frame.drop(columns="params_B").assign(n_params=size).rename(columns=names)


def _entigraph(frame: pd.DataFrame) -> pd.DataFrame:
    names = {"synthetic_tokens_millions": "n_million_tokens", "accuracy_pct": "accuracy"}
    return frame.rename(columns=names)


COLPRET_REPO = "IBM/ColPret"
COLPRET_COMMIT = "16f23bbe054277ddc4afd07a972dd7cfbe3f48c3"
EPOCH_REPO = "epoch-research/analyzing-chinchilla"
EPOCH_COMMIT = "92258837425e1b5f2851d624287f0120583a3d0e"
STOCK_REPO = "epoch-research/data-stock"
STOCK_COMMIT = "83da8edaa853f036f1bbd521df9e789335d64b3b"
GEMSTONES_REPO = "mcleish7/gemstone-scaling-laws"
GEMSTONES_COMMIT = "5f420478f6057b0cbb4d13405fb10ca64675bccb"


def _gemstones_table(name: str, file: str, sha256: str) -> Dataset:
    return Dataset(
        name=name,
        path=f"fits/gemstones/{file}",
        sha256=sha256,
        url=f"{GITHUB}/{GEMSTONES_REPO}/{GEMSTONES_COMMIT}/wandb_dfs/{file}",
        origin=f"github.com/{GEMSTONES_REPO} @ {GEMSTONES_COMMIT}: wandb_dfs/{file}",
        licence="MIT",
        prepare=_gemstones,
    )


DATASETS: dict[str, Dataset] = {
    table.name: table
    for table in (
        Dataset(
            name="chinchilla_epoch",
            path="fits/chinchilla_epoch/svg_extracted_data.csv",
            sha256="193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
            url=f"{GITHUB}/{EPOCH_REPO}/{EPOCH_COMMIT}/data/svg_extracted_data.csv",
            origin=f"github.com/{EPOCH_REPO} @ {EPOCH_COMMIT}: data/svg_extracted_data.csv",
            licence="none stated",
            prepare=_epoch,
        ),
        _gemstones_table(
            "gemstones_hot",
            "hot.jsonl",
            "655467b59c99383403d6f73f5b7f23c02aea3f12935dc110382d8a8b43a0ff5d",
        ),
        _gemstones_table(
            "gemstones_hot_100b",
            "hot_100b+.jsonl",
            "1da97ce3d1394e0223826c8f5ca081cb0fb289ec65d2707fb5430721e92e9659",
        ),
        _gemstones_table(
            "gemstones_cool_end",
            "cool_end.jsonl",
            "bdf01b6b21bafc414218124a6f9e195cee07f3d69ceacbfae2fcf069d34f4e61",
        ),
        Dataset(
            name="data_constrained",
            path="fits/data_constrained/runs.csv",
            sha256="b2ef20d124828582e72c7ed7dca6baa3027aecd21813e5f443d0a682cb561c66",
            origin="github.com/huggingface/datablations @ 13701315: utils/parametric_fit.ipynb",
            licence="Apache-2.0",
            prepare=_data_constrained,
        ),
        Dataset(
            name="gadre_rpj",
            path="fits/gadre_rpj/runs.csv",
            sha256="6999e87a55353113c9d72271447793fc715ef6d06c1305b1c0965780ec309215",
            origin="github.com/mlfoundations/scaling @ a003c491: exp_data/models/*.json",
            licence="MIT",
            prepare=_gadre,
        ),
        Dataset(
            name="kempner",
            path="fits/kempner/runs.csv",
            sha256="b43c6494aaeaa88984c091c1970c31c3bec2f667eaec7eba5660b5a5f856d795",
            origin="github.com/KempnerInstitute/loss-to-loss-notebooks @ 457ce81a: data/sweep.csv",
            licence="none stated",
            prepare=_kempner,
        ),
        Dataset(
            name="steplaw",
            path="fits/steplaw/dense_runs.csv",
            sha256="556348a1b5d4bfe65caa7737769e0ed1fbf807a4af2d10b02f4989b756e0995b",
            origin="github.com/step-law/steplaw @ 32a8f4cc: data/dense_lr_bs_loss.csv",
            licence="none stated",
            prepare=_steplaw,
        ),
        Dataset(
            name="porian",
            path="fits/porian/optimal_pairs.csv",
            sha256="51c8ab3b007fe24261ba0cabe443842924284be313616e15cf0f37c535a6ac6f",
            origin="github.com/formll/resolving-scaling-law-discrepancies @ 0dc60d91: data/",
            licence="MIT-style",
            prepare=_porian,
        ),
        Dataset(
            name="learning_curves",
            path="fits/learning_curves/learning_curves_dev.csv",
            sha256="1ac668a83b3f1c1e7f0710ef13622c69d362664895d09c5a09c77430f2df7310",
            url=f"{GITHUB}/{COLPRET_REPO}/{COLPRET_COMMIT}/aggregated_eval/revisiting_vision.csv",
            url_sha256="23b00692d71e58aa5a2a941e831d57688e0977fdcf5f5125ff7b64283b5d9e83",
            origin=f"github.com/{COLPRET_REPO} @ {COLPRET_COMMIT}: "
            "aggregated_eval/revisiting_vision.csv",
            licence="Apache-2.0",
            prepare=_learning_curves,
        ),
        Dataset(
            name="training_sets",
            path="published/data_stock/data/dataset_sizes.csv",
            sha256="e2d19e6be9d4b0a79acef394cb4f63108bd62f95cbf20fc7c5ccdd15f1ef5106",
            url=f"{GITHUB}/{STOCK_REPO}/{STOCK_COMMIT}/data/dataset_sizes.csv",
            origin=f"github.com/{STOCK_REPO} @ {STOCK_COMMIT}: data/dataset_sizes.csv",
            licence="none stated",
            prepare=_training_sets,
        ),
        Dataset(
            name="infinite_compute",
            path="published/infinite_compute_runs.csv",
            sha256="e5953b6d9452cf2662103e4a21f6767781825df4db6b1a11eea6b5a5e7ea34cc",
            origin="arXiv 2509.14786 and github.com/marin-community/marin @ 0a3a1194",
            licence="none stated",
            prepare=_infinite_compute,
        ),
        Dataset(
            name="entigraph",
            path="published/entigraph_points.csv",
            sha256="e58870bd1dcbc7af905e1d1115222d906823bebb5fb1af88cdf215c03d9464b4",
            origin="arXiv 2409.07431 and github.com/leo-liuzy/Synthetic_Continued_Pretraining @ "
            "d56a84e (a copy of the authors' code): notebooks/nb_main_plot.ipynb",
            licence="none stated",
            prepare=_entigraph,
        ),
    )
}
"""The tables by name."""


def load_dataset(name: str, *, folder: str | Path | None = None) -> pd.DataFrame:
    """A published run table, with the rows of its published fit and the column names of the laws.

    Args:
        name: a key of `DATASETS`.
        folder: the data folder; by default the one that `data_folder` finds.

    Returns:
        A row per run; the columns are those of the published file, renamed where a law reads them
        (`n_params`, `n_tokens`, `loss`, ...).

    Raises:
        ValueError: the name is unknown, or a file's sha256 is not the recorded one.
        FileNotFoundError: the table is not in the data folder and cannot be downloaded.
        OSError: the download failed.
    """
    if name not in DATASETS:
        allowed = ", ".join(repr(known) for known in DATASETS)
        raise ValueError(f"`name` must be one of {allowed}; not {name!r}")
    table = DATASETS[name]
    path = _local(table, folder)
    if path is None:
        path = _download(table, folder)
    if path.suffix == ".jsonl":
        return table.prepare(pd.read_json(path, lines=True))
    return table.prepare(pd.read_csv(path))


def data_folder(folder: str | Path | None = None) -> Path:
    """Folder in which published tables are looked for; it need not exist.

    Args:
        folder: the folder itself, if the caller knows it.

    Returns:
        `folder`, else the folder named by the environment variable DATAWALL_DATA, else
        `shared/data` beside a checkout of the project.
    """
    if folder is not None:
        return Path(folder)
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser() if named else BESIDE_CHECKOUT


def _local(table: Dataset, folder: str | Path | None) -> Path | None:
    import hashlib

    path = data_folder(folder) / table.path
    if not path.is_file():
        return None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != table.sha256:
        raise ValueError(
            f"{path} is not the published table {table.name!r}: its sha256 is {found}, "
            f"not {table.sha256}"
        )
    return path


def _download(table: Dataset, folder: str | Path | None = None) -> Path:
    if table.url is None:
        raise FileNotFoundError(
            f"table {table.name!r} cannot be downloaded, because its origin "
            f"({table.origin}) is not a plain table; put it at {table.path} {_below(folder)}"
        )
    sha256 = table.url_sha256 or table.sha256
    found = _fetched(table.url, sha256, f"{table.name}{Path(table.path).suffix}")
    if isinstance(found, OSError):
        raise OSError(
            f"table {table.name!r} could not be downloaded from {table.url}; put it at "
            f"{table.path} {_below(folder)}"
        ) from found
    return found


def _below(folder: str | Path | None) -> str:
    """Where the data folder is, or how to name one, as the end of an error message."""
    if folder is None and not os.environ.get(DATA_VARIABLE) and not BESIDE_CHECKOUT.is_dir():
        return (
            f"below a folder named by the environment variable {DATA_VARIABLE}, which is not set "
            f"({BESIDE_CHECKOUT} does not exist either)"
        )
    source = "" if folder is not None else f" (set {DATA_VARIABLE} for another folder)"
    return f"below {data_folder(folder)}{source}"


@cache
def _fetched(url: str, sha256: str, name: str) -> Path | OSError:
    """Download a file once; the error of a failed download is kept and not tried again."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        return Path(
            pooch.retrieve(
                url, known_hash=f"sha256:{sha256}", fname=name, path=pooch.os_cache("datawall")
            )
        )
    except OSError as error:
        return error
