"""`datawall worth`: what the texts of `datawall augment` are worth in real text."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.cli.options import readable
from experiments.cli.output import print_json
from experiments.sweeps.executors import ExecutorName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.planner.worth import Worth, WorthSettings
    from experiments.planner.worth_texts import WorthTexts, WorthTokens
    from experiments.runs.spec import RunSpec

MOST_STOCK = 65_536
"""Real tokens of the stock unless more are asked for, so that it takes minutes."""


@readable
@dataclass(frozen=True, kw_only=True)
class WorthCommand:
    """Measure on small models what synthetic texts are worth in tokens of real text.

    Models of one size are trained for the same number of steps on a stock of real text, on the
    stock with synthetic text in several shares, on synthetic text alone, and on an oracle of more
    real text, each with the weight decay that is best for it. Losses are those of held-out real
    documents.
    """

    input: Annotated[Path, tyro.conf.Positional]
    """The real texts, as given to `datawall augment`."""
    synthetic: Path
    """The texts that `datawall augment` wrote from them."""
    shares: tuple[str, ...] = ("1:8", "1:3", "1:1")
    """Synthetic tokens to real tokens in what a model reads."""
    unique_tokens: str | None = None
    """Real tokens of the stock (default: half of the text, at most 65,536; the rest is held back
    for the oracle)."""
    epochs: int = 16
    """Passes over the stock of the model that reads it alone; all others take as many steps."""
    draws: int = 3
    """Number of stocks drawn from the text, each with initial weights of its own."""
    width: int = 32
    """Width of the models."""
    layers: int = 2
    """Layers of the models."""
    context: int = 64
    """Context length of the models."""
    vocab: int = 512
    """Vocabulary size."""
    batch: int = 16
    """Sequences in a training step."""
    learning_rate: float = 5e-3
    """Peak learning rate of all models."""
    leave_out_overlap: bool = False
    """Leave out synthetic texts that come from held-out documents, instead of refusing them."""
    runs: Path = Path("runs/worth")
    """Run store; finished runs are not trained again."""
    executor: ExecutorName = "threads"
    """Train in threads of this process, in local processes or in Dask workers."""
    workers: int | None = None
    """Number of runs to train at once; by default one per core or GPU, if memory allows."""
    json: bool = False
    """Print JSON."""
    out: Path = Path("out/worth")
    """Folder for the page worth.html, worth.json, worth.csv and worth.png."""

    @property
    def line(self) -> str:
        """The command line of these settings, without those that are defaults."""
        parts = ["datawall", "worth", str(self.input)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "input" or value == field.default:
                continue
            parts.append("--" + field.name.replace("_", "-"))
            if value is not True:
                parts += map(str, value if isinstance(value, tuple) else [value])
        return shlex.join(parts)

    def run(self) -> int:
        """Train the models; write, draw and print what they say."""
        from experiments.planner.worth import measure_worth, worth_dict
        from experiments.planner.worth_texts import WorthTokens, worth_texts
        from experiments.runs.store import RunStore
        from experiments.sweeps.executors import open_executor
        from experiments.sweeps.sweep import run_sweep

        shares = {share: parse_share(share) for share in self.shares}
        texts = worth_texts(self.input, self.synthetic, leave_out_overlap=self.leave_out_overlap)
        tokens = WorthTokens.of(texts, self.input, self.vocab)
        settings = self._settings(shares, tokens)
        self.out.mkdir(parents=True, exist_ok=True)  # fails before the work starts
        self._say(tokens, settings)
        store = RunStore(self.runs)
        with open_executor(self.executor, workers=self.workers) as executor:

            def train(specs: Sequence[RunSpec], title: str) -> None:
                run_sweep(specs, store, executor=executor, title=title)

            worth = measure_worth(tokens, settings, store, train, on_speed=self._say_time)
        files = _write(worth, texts, self)
        if self.json:
            print_json(worth_dict(worth))
            return 0
        _print(worth, has_oracle=texts.has_oracle)
        print("\n".join(map(str, files)))
        return 0

    def _settings(self, shares: dict[str, float], tokens: WorthTokens) -> WorthSettings:
        from experiments.display.quantities import parse_quantity
        from experiments.planner.worth import WorthSettings

        if self.unique_tokens:
            n_stock = round(parse_quantity(self.unique_tokens, name="--unique-tokens"))
        else:
            n_stock = min(tokens.n_real // (2 if tokens.texts.has_oracle else 1), MOST_STOCK)
        return WorthSettings(
            shares=shares,
            n_stock=n_stock,
            epochs=self.epochs,
            n_draws=self.draws,
            width=self.width,
            n_layers=self.layers,
            context=self.context,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )

    def _say(self, tokens: WorthTokens, settings: WorthSettings) -> None:
        from experiments.display.quantities import human
        from experiments.planner.worth import arms_of, n_runs_of

        texts = tokens.texts
        left_out = f"; {texts.n_left_out:,} from held-out documents left out" * bool(
            texts.n_left_out
        )
        n_real = tokens.n_real if texts.has_oracle else settings.n_stock
        n_runs = n_runs_of(arms := arms_of(settings, n_real), settings.n_draws)
        print(
            f"{len(texts.real):,} real documents to train on, {len(texts.validation):,} to select "
            f"on, {len(texts.test):,} to test on; {len(texts.synthetic):,} synthetic texts"
            f"{left_out}\nstock of {settings.n_stock:,} real tokens; {len(arms)} arms, {n_runs} "
            f"runs or more of {settings.n_steps:,} steps, {human(n_runs * settings.n_tokens)} "
            "tokens in all",
            file=sys.stderr,
        )

    def _say_time(self, seconds: float, n_left: int) -> None:
        from models.training.devices import worker_devices

        n_together = self.workers or len(worker_devices())
        minutes = seconds * n_left / n_together / 60
        print(
            f"A run takes {seconds:.0f} s: about {max(minutes, 1):.0f} minutes for the "
            f"{n_left} others, {n_together} at a time. Runs are kept: after an interruption, the "
            "same command goes on.",
            file=sys.stderr,
        )


def parse_share(text: str) -> float:
    """Return synthetic tokens per real token of a share such as 1:3.

    Raises:
        ValueError: the text is not two numbers above 0 with a colon.
    """
    try:
        synthetic, real = map(float, text.split(":"))
    except ValueError:
        synthetic = real = 0.0
    if not (0 < synthetic < float("inf") and 0 < real < float("inf")):
        raise ValueError(
            f"a share is synthetic to real tokens, two numbers above 0 such as 1:3; not {text!r}"
        )
    return synthetic / real


def _print(worth: Worth, *, has_oracle: bool) -> None:
    from experiments.display.tables import print_table
    from experiments.planner.worth_words import limits, remedy, verdict

    settings = worth.settings
    print_table(
        worth.table(),
        title=f"loss on held-out real documents, nats per token, means of {settings.n_draws} draws",
    )
    print(f"{verdict(worth)} {remedy(worth)}".rstrip())
    print(f"synthetic text: {worth.provenance}")
    print("\n".join(limits(worth, has_oracle=has_oracle)))


def _write(worth: Worth, texts: WorthTexts, command: WorthCommand) -> list[Path]:
    """Write the page and its numbers; return the files, the page first."""
    import json

    from experiments.cli.output import finite
    from experiments.planner.worth import worth_dict
    from experiments.report.report import Drawing
    from experiments.report.worth import write_worth_page
    from experiments.runs.files import replacing
    from paper_figs.worth import CAPTION, draw_worth

    page, result, table, picture = (
        command.out / f"worth.{kind}" for kind in ("html", "json", "csv", "png")
    )
    with replacing(result) as beside:
        text = json.dumps(finite(worth_dict(worth)), indent=1, allow_nan=False)
        beside.write_text(text, encoding="utf-8")
    with replacing(table) as beside:
        worth.runs.to_csv(beside, index=False)
    draw_worth(worth, picture)
    drawing = Drawing(
        label="", name="worth", title="Loss by real tokens", caption=CAPTION,
        command=command.line, paths=(picture, table),
    )  # fmt: skip
    write_worth_page(worth, texts, drawing, command=command.line, path=page)
    return [page, result, table, picture]
