"""A network's own way from its last hidden states to logits, with all that it does there besides the matrix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

from crushtest.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def base_of(network: PreTrainedModel) -> PreTrainedModel:
    """Return the part of a network that ends in its last hidden states; the network itself if it has no such part."""
    from transformers import PreTrainedModel

    base = cast("PreTrainedModel", network.base_model)
    if base is not network:
        return base
    return next((child for child in network.children() if isinstance(child, PreTrainedModel)), network)


def logits_of(network: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Return the logits [rows, vocabulary] of what the network's base model returned: [rows, size].

    The network runs as ever but for its base model, which returns these rows at once. So soft caps, scales and biases
    are the network's own. EngineError for a network that is its own base model.
    """
    import torch

    nothing = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
    output = _Output((hidden[None],))
    with torch.inference_mode(), ExitStack() as stack:
        # Some networks call their base model, and some the decoder in it.
        for module in {base_of(network), cast(Any, network).get_decoder()} - {network}:
            stack.enter_context(_returning(module, output))
        logits: Tensor = network(input_ids=nothing, use_cache=False).logits
    if not output.taken:
        raise EngineError("the network has no base model apart from its head")
    return logits[0]


class _Output(tuple[Any, ...]):
    """A base model's output, of which only the last hidden states are there; `taken` once anybody asked for it."""

    taken = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[0] if name == "last_hidden_state" else None


@contextmanager
def _returning(module: Any, output: _Output) -> Iterator[None]:
    # A loader may have put a function of its own into the module's place for it.
    before = vars(module).get("forward")

    def take(*_: Any, **__: Any) -> _Output:
        output.taken = True
        return output

    module.forward = take
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before
