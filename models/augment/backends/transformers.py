"""A causal language model of Hugging Face transformers on this machine (extra `hf`)."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.augment.writing.requests import Answer, BackendError, Failure, GenerationRequest, Reply


@dataclass(frozen=True, kw_only=True)
class TransformersBackend:
    """A `Backend` around `AutoModelForCausalLM`.

    The prompt is wrapped in the tokenizer's chat template if there is one, else continued as it is.
    Requests of one batch are sampled together, so a text depends on the other requests in its
    batch.

    Attributes:
        model: name or folder of the model.
        batch_size: requests sampled together.
        device: torch device (default: a GPU if there is one).
    """

    model: str
    batch_size: int = 16
    device: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; not {self.batch_size}")

    @property
    def name(self) -> str:
        """The library and the model."""
        return f"transformers:{self.model}"

    @property
    def context(self) -> int | None:
        """Positions of the model, None if its configuration does not say."""
        return getattr(self._loaded[1].config, "max_position_embeddings", None)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, those of the chat template included."""
        return len(self._ids(text))

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield answers, batch by batch.

        Raises:
            BackendError: the library is missing, or the model cannot be loaded.
        """
        iterator = iter(requests)
        while batch := list(itertools.islice(iterator, self.batch_size)):
            fitting = []
            for request in batch:
                n_tokens = self.count_tokens(request.prompt) + request.n_tokens
                if self.context is not None and n_tokens > self.context:
                    reason = f"prompt and answer take {n_tokens} tokens of {self.context}"
                    yield Answer(request, Failure(reason=reason))
                else:
                    fitting.append(request)
            by_temperature = itertools.groupby(sorted(fitting, key=_temperature), key=_temperature)
            for temperature, group in by_temperature:
                yield from self._written(list(group), temperature)

    def _written(self, batch: list[GenerationRequest], temperature: float) -> Iterator[Answer]:
        import torch

        tokenizer, model = self._loaded
        prompts = [self._ids(request.prompt) for request in batch]
        longest = max(map(len, prompts))
        pad = next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
        # Padded at the left, so that all texts continue at the same position.
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
        mask = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device
        )
        torch.manual_seed(zlib.crc32("".join(r.key(self.name) for r in batch).encode()))
        sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        with torch.no_grad():
            found = model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=max(request.n_tokens for request in batch),
                do_sample=bool(temperature),
                pad_token_id=pad,
                **sampling,
            )
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        for request, prompt, row in zip(batch, prompts, found[:, longest:].tolist(), strict=True):
            written = row[: request.n_tokens]
            stop = next((i for i, token in enumerate(written) if token in ends), None)
            kept = written if stop is None else written[:stop]
            yield Answer(
                request,
                Reply(
                    text=tokenizer.decode(kept, skip_special_tokens=True),
                    finish="length" if stop is None else "stop",
                    n_prompt_tokens=len(prompt),
                    n_reply_tokens=len(kept),
                ),
            )

    def _ids(self, prompt: str) -> list[int]:
        tokenizer = self._loaded[0]
        if getattr(tokenizer, "chat_template", None):
            messages = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
            return tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokenizer(prompt)["input_ids"]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            import torch
            import transformers
        except ImportError as error:
            raise BackendError(
                "this writer needs transformers and torch: pip install transformers torch"
            ) from error
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.model)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(self.model)
        except (OSError, ValueError) as error:
            said = str(error).strip().splitlines()
            raise BackendError(
                f"transformers cannot load {self.model!r}: {said[0] if said else error}"
            ) from error
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        return tokenizer, model.to(device).eval()


def _temperature(request: GenerationRequest) -> float:
    return request.temperature
