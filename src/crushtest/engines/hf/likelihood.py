"""Log-likelihoods of lines: in prefix-shared packs if the model can take them, else in padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from crushtest.engines.hf.attention import NAME, Kept, lay_out, packed_attention
from crushtest.engines.hf.head import base_of, logits_of
from crushtest.engines.hf.kivi import Kivi
from crushtest.engines.hf.kv_cache import BlockCache
from crushtest.engines.hf.own_attention import attending, attending_around
from crushtest.engines.likelihood import Floats, Part, Predictions, log_probabilities
from crushtest.engines.packing import Ints, Line, Pack, plan_packs, trunk_chain
from crushtest.models.devices import input_device

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.engines.hf.kv_choice import KvCache

# Logits held at once, as numbers: 64 MB in float32, so that memory stays flat whatever is asked.
LOGITS = 2**24


@dataclass
class PackedLogLikelihood:
    """Runs packs of trie nodes through the network's own modules, with attention that knows the trie.

    size  nodes per pack
    kv    how keys and values are stored; None for as they are
    """

    network: PreTrainedModel
    size: int
    kv: BlockCache | None = None
    _kept: dict[int, Kept] = field(default_factory=dict)
    _plan: Sequence[Pack] = ()

    def on(self, network: PreTrainedModel, kv: KvCache | None) -> PackedLogLikelihood:
        """Return the same way of scoring for another network of this architecture."""
        assert not isinstance(kv, Kivi)
        return PackedLogLikelihood(network, self.size, kv)

    def plan(self, lines: Sequence[Line]) -> Sequence[Pack]:
        """Return packs, trunks before what continues them."""
        return plan_packs(lines, self.size)

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of one pack; trunks that are not kept are run first."""
        return log_probabilities(self.predictions(plan, index), plan[index].targets)

    def predictions(self, plan: Sequence[Part], index: int) -> Iterator[Predictions]:
        """Yield the logits of the edges of one pack."""
        packs = cast("Sequence[Pack]", plan)
        return edge_logits(self.network, self._hidden(packs, index), packs[index].rows)

    def _hidden(self, plan: Sequence[Pack], index: int) -> Tensor:
        if plan is not self._plan:
            self._plan, self._kept = plan, {}
        pack = plan[index]
        chain = trunk_chain(plan, pack.trunk)
        for trunk in chain:
            if trunk not in self._kept:
                self._hidden(plan, trunk)
        # Packs come depth first, so a trunk that this one does not continue is hardly needed again.
        self._kept = {trunk: kept for trunk, kept in self._kept.items() if trunk in chain}
        keep = Kept() if pack.is_trunk else None
        hidden = run_pack(self.network, pack, [self._kept[trunk] for trunk in chain], keep, self.kv)
        if keep is not None:
            self._kept[index] = keep
        return hidden


def run_pack(
    network: PreTrainedModel, pack: Pack, trunk: Sequence[Kept], keep: Kept | None, kv: BlockCache | None = None
) -> Tensor:
    """Return the network's last hidden states [nodes, hidden size]; keys and values of the nodes go to `keep`.

    With `kv` these are as they are read from the cache, and so must be those of the trunk.
    """
    import torch

    device = input_device(network)
    layout = lay_out(pack, dtype=network.dtype, device=device, trunk=trunk, keep=keep)
    # Not handed through the network: some networks give their attention none of what they are called with.
    attention = partial(packed_attention, pack=layout)
    with torch.inference_mode(), attending(network, NAME, attention if kv is None else kv.around(attention)):
        hidden: Tensor = base_of(network)(
            input_ids=torch.from_numpy(pack.tokens).to(device)[layout.order][None],
            position_ids=torch.from_numpy(pack.depth).to(device)[layout.order][None],
            use_cache=False,
        )[0]
        return hidden[0, layout.on(hidden.device).place]


def edge_logits(network: PreTrainedModel, hidden: Tensor, rows: Ints) -> Iterator[Predictions]:
    """Yield logits after each of `rows` of hidden states, few enough at once to keep memory flat."""
    import torch

    asked, edge_row = np.unique(rows, return_inverse=True)
    at_once = max(LOGITS // vocabulary_size(network), 1)
    for first in range(0, len(asked), at_once):
        # Not around the yield: inference mode would hold for whoever asks, too.
        with torch.inference_mode():
            logits = logits_of(network, hidden[torch.from_numpy(asked[first : first + at_once]).to(hidden.device)])
        edges = np.flatnonzero((edge_row >= first) & (edge_row < first + at_once))
        yield Predictions(edges, edge_row[edges] - first, logits)


def vocabulary_size(network: PreTrainedModel) -> int:
    """Return how many tokens the network has."""
    return int(network.config.get_text_config().vocab_size)


def bytes_per_token(network: PreTrainedModel) -> int:
    """Return the memory of a token's keys and values over all layers; an upper bound for models that keep less."""
    config: Any = network.config.get_text_config()
    # A configuration may hold settings per layer.
    layers = getattr(config, "per_layer_config", None) or [config] * config.num_hidden_layers
    return sum(_numbers_per_token(layer) for layer in layers) * network.dtype.itemsize


def _numbers_per_token(config: Any) -> int:
    heads = getattr(config, "num_attention_heads", None) or 1
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * (getattr(config, "num_key_value_heads", None) or heads) * size)


@dataclass(frozen=True)
class Batch:
    """Lines of similar length, padded on the right and run as they are."""

    members: list[Line]
    rows: Ints
    columns: Ints
    targets: Ints
    lines: Ints

    @property
    def positions(self) -> Ints:
        """[edges] place, in its line, of the token that predicts."""
        return self.columns

    @property
    def read(self) -> int:
        """How many tokens the model reads to run it, padding included."""
        return len(self.members) * (len(self.members[0].tokens) - 1)


@dataclass(frozen=True)
class PaddedLogLikelihood:
    """Runs every line by itself, through the network's own forward pass, sharing nothing.

    Lines are padded on the right without a mask: what a token reads never depends on tokens after it.

    size   tokens per batch, padding included
    kv     how keys and values are stored; None for as they are
    lines  lines per batch; 1 is right for any model whatever
    """

    network: PreTrainedModel
    size: int
    kv: KvCache | None = None
    lines: int | None = None

    def on(self, network: PreTrainedModel, kv: KvCache | None) -> PaddedLogLikelihood:
        """Return the same way of scoring for another network of this architecture."""
        return replace(self, network=network, kv=kv)

    def plan(self, lines: Sequence[Line]) -> Sequence[Batch]:
        """Return batches of lines of similar length."""
        size = min(self.size, 8 * LOGITS // vocabulary_size(self.network))
        order = sorted(range(len(lines)), key=lambda index: (-len(lines[index].tokens), index))
        batches = []
        while order:
            count = max(size // len(lines[order[0]].tokens), 1)
            count = count if self.lines is None else min(count, self.lines)
            batches.append(_batch(lines, order[:count]))
            order = order[count:]
        return batches

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of one batch."""
        return log_probabilities(self.predictions(plan, index), plan[index].targets)

    def predictions(self, plan: Sequence[Part], index: int) -> Iterator[Predictions]:
        """Yield the logits of all edges of one batch, in one piece."""
        import torch

        batch = cast("Sequence[Batch]", plan)[index]
        width = len(batch.members[0].tokens) - 1
        tokens = np.zeros((len(batch.members), width), dtype=np.int64)
        for row, line in enumerate(batch.members):
            tokens[row, : len(line.tokens) - 1] = line.tokens[:-1]
        device = input_device(self.network)
        starts = torch.tensor([line.start for line in batch.members], device=device)
        around = None if self.kv is None else partial(self.kv.around, starts=starts)
        with torch.inference_mode():
            forget_longer_lines(self.network)
            with attending_around(self.network, around):
                logits = self.network(input_ids=torch.from_numpy(tokens).to(device), use_cache=False).logits
            flat = batch.rows * width + batch.columns
            asked, edge_row = np.unique(flat, return_inverse=True)
            chosen = logits.flatten(0, 1)[torch.from_numpy(asked).to(logits.device)]
        yield Predictions(np.arange(len(edge_row)), edge_row, chosen)


def forget_longer_lines(network: PreTrainedModel) -> None:
    """Bring a network whose position frequencies follow the longest line so far back to where it began.

    transformers does so itself when it reads a line within the original length.
    """
    import torch

    grown = (
        length > module.original_max_seq_len
        for module in network.modules()
        if hasattr(module, "original_max_seq_len")
        for name, length in vars(module).items()
        if name.endswith("max_seq_len_cached")
    )
    if any(grown):
        network(input_ids=torch.zeros(1, 1, dtype=torch.long, device=input_device(network)), use_cache=False)


def _batch(lines: Sequence[Line], chosen: list[int]) -> Batch:
    counts = [len(lines[index].tokens) - lines[index].start for index in chosen]
    return Batch(
        [lines[index] for index in chosen],
        np.repeat(np.arange(len(chosen)), counts),
        np.concatenate([np.arange(lines[index].start - 1, len(lines[index].tokens) - 1) for index in chosen]),
        np.array([token for index in chosen for token in lines[index].tokens[lines[index].start :]], dtype=np.int64),
        np.repeat(np.array(chosen), counts),
    )
