"""The batch for models that `slots` cannot drive: encoder-decoders, and decoders with a memory or an attention of
their own.

Requests that wait are taken together, a cohort; its rows say their tokens in step, and a row that is done leaves
the others. Cohorts take turns, so that a newcomer does not wait for the end of the longest answer. Nothing runs one
at a time unless it is alone.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from workers.engines.transformers import adapters
from workers.engines.transformers.rows import Row
from workers.engines.transformers.slots import takes


@dataclass
class Cohort:
    rows: list[Row]
    cache: Any = None
    seen: Any = None
    """(rows, tokens so far): 1 where a token is, 0 where the shorter prompts were filled up. The encoder's, if
    there is one."""
    encoded: Any = None


class LockstepBatch:
    """Runs rows in cohorts. One thread at a time."""

    def __init__(self, model: Any, *, slots: int, pad: int):
        self._model = model
        self._slots = slots
        self._pad = pad
        self._encoder = bool(model.config.is_encoder_decoder)
        self._cache_name = "cache" if takes(model, "cache") else "past_key_values"
        self._positions = takes(model, "position_ids")
        self._waiting: list[Row] = []
        self._cohorts: list[Cohort] = []

    @property
    def rows(self) -> list[Row]:
        return [*self._waiting, *(row for cohort in self._cohorts for row in cohort.rows)]

    @property
    def room(self) -> int:
        return self._slots - len(self.rows)

    def enter(self, row: Row) -> None:
        self._waiting.append(row)

    def leave(self, row: Row) -> None:
        if row in self._waiting:
            self._waiting.remove(row)
            return
        cohort = next(cohort for cohort in self._cohorts if row in cohort.rows)
        kept = [place for place, other in enumerate(cohort.rows) if other is not row]
        cohort.rows.remove(row)
        if not cohort.rows:
            self._cohorts.remove(cohort)
        elif cohort.cache is not None:
            self._keep(cohort, torch.tensor(kept, device=self._model.device))

    def step(self) -> tuple[list[Row], torch.Tensor]:
        """Run one token of the next cohort; its rows and their logits (rows, vocabulary)."""
        self._gather()
        cohort = self._cohorts.pop(0)
        self._cohorts.append(cohort)
        first = cohort.cache is None
        with adapters.chosen([(cohort.rows[0].adapter, 0, 0)]):
            output = self._decode(cohort, first=first) if self._encoder else self._run(cohort, first=first)
        cohort.cache = getattr(output, self._cache_name, cohort.cache)
        for row in cohort.rows:
            row.read = len(row.ids)
        return list(cohort.rows), output.logits[:, -1]

    def forget(self, adapter: str) -> None:
        """Nothing is kept behind a row's end."""

    def embed(self, texts: list[list[int]], *, adapter: str = "") -> list[torch.Tensor]:
        """For each text the mean of its tokens' vectors in the last layer (the encoder's, where there is one)."""
        results = []
        with adapters.chosen([(adapter, 0, 0)]):
            for ids in texts:
                tokens = torch.tensor([ids], device=self._model.device)
                reader = self._model.get_encoder() if self._encoder else self._model.base_model
                hidden = reader(input_ids=tokens).last_hidden_state[0].float()
                results.append(hidden.mean(0))
        return results

    def logits(self, ids: list[int], first: int, last: int, *, adapter: str = "") -> torch.Tensor:
        """Behind each of the tokens `ids[first:last]` of a decoder's prompt: (last - first, vocabulary)."""
        with adapters.chosen([(adapter, 0, 0)]):
            output = self._model(
                input_ids=torch.tensor([ids[:last]], device=self._model.device), use_cache=False
            )
        found: torch.Tensor = output.logits[0, first:last]
        return found

    def _gather(self) -> None:
        """Make cohorts of those that wait: of one adapter each, and of one length where a decoder begins in
        mid-reply."""
        groups: dict[tuple[str, int], list[Row]] = {}
        for row in self._waiting:
            delivered = len(row.prompt.prefix) if self._encoder else 0
            groups.setdefault((row.adapter, delivered), []).append(row)
        self._waiting = []
        self._cohorts[:0] = [Cohort(rows) for rows in groups.values()]

    def _padded(self, lists: list[list[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens (rows, longest), filled up on one side, and where there are some."""
        longest = max(map(len, lists))
        tokens = torch.full((len(lists), longest), self._pad)
        seen = torch.zeros((len(lists), longest), dtype=torch.long)
        for row, ids in enumerate(lists):
            part = slice(longest - len(ids), longest) if left else slice(0, len(ids))
            tokens[row, part] = torch.tensor(ids)
            seen[row, part] = 1
        return tokens.to(self._model.device), seen.to(self._model.device)

    def _run(self, cohort: Cohort, *, first: bool) -> Any:
        if first:
            tokens, cohort.seen = self._padded([row.ids for row in cohort.rows], left=True)
            cohort.cache = DynamicCache(config=self._model.config)
        else:
            tokens = self._last_tokens(cohort)
            cohort.seen = torch.cat([cohort.seen, torch.ones_like(tokens)], dim=1)
        positions = (cohort.seen.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        return self._model(
            input_ids=tokens,
            attention_mask=cohort.seen,
            use_cache=True,
            **({"position_ids": positions} if self._positions else {}),
            **{self._cache_name: cohort.cache},
        )

    def _decode(self, cohort: Cohort, *, first: bool) -> Any:
        model = self._model
        if first:
            read, cohort.seen = self._padded([row.prompt.ids for row in cohort.rows], left=False)
            cohort.encoded = model.get_encoder()(input_ids=read, attention_mask=cohort.seen)
            begin = model.generation_config.decoder_start_token_id
            begin = model.config.decoder_start_token_id if begin is None else begin
            begin = self._pad if begin is None else begin
            tokens = torch.tensor([[begin, *row.prompt.prefix] for row in cohort.rows], device=model.device)
            cohort.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        else:
            tokens = self._last_tokens(cohort)
        return model(
            encoder_outputs=cohort.encoded,
            attention_mask=cohort.seen,
            decoder_input_ids=tokens,
            use_cache=True,
            **{self._cache_name: cohort.cache},
        )

    def _last_tokens(self, cohort: Cohort) -> torch.Tensor:
        return torch.tensor([[row.ids[-1]] for row in cohort.rows], device=self._model.device)

    def _keep(self, cohort: Cohort, kept: torch.Tensor) -> None:
        cohort.cache.batch_select_indices(kept)
        cohort.seen = cohort.seen[kept]
        if cohort.encoded is not None:
            cohort.encoded.last_hidden_state = cohort.encoded.last_hidden_state[kept]
