"""See the matrix products that a network makes with its weights, whichever module or function makes them.

Experts are parts of a packed tensor, and no module of its own is called for one. So products are watched where all of
them arrive, below `linear`, `matmul` and the grouped kernels. An operand that lies in a watched tensor tells by its
place which part it is, and by its strides which way round that part is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.errors import ModelError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from crushtest.compress.layers.structure import Linear

_CHECKED = 4  # rows of a product that are computed again
_SAME = 0.02  # as a share of the result's norm: well above rounding in bfloat16, well below another matrix's result
PLAIN = {"aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"}
GROUPED = {"aten::_grouped_mm", "transformers::grouped_mm_fallback"}


class Product(NamedTuple):
    """One product of inputs with a weight that lies in a watched tensor.

    tensor      the watched tensor
    start       where in it the weight begins, in numbers
    kept        the weight's sides as they lie in memory: the first has the longer stride
    transposed  whether that is [in, out]
    rows        [tokens, in], the inputs
    result      [tokens, out], the product alone, without a bias
    rounding    by how much a number of the result may be off because a bias was taken out of it
    """

    tensor: Tensor
    start: int
    kept: tuple[int, int]
    transposed: bool
    rows: Tensor
    result: Tensor
    rounding: float


class _Pair(NamedTuple):
    """A weight turned to [in, out], and what it is multiplied with."""

    weight: Tensor
    rows: Tensor
    result: Tensor
    rounding: float = 0.0


class ProductWatch:
    """While it is on, call `see` with each product of a watched tensor, `see_other` with any other use of one."""

    def __init__(
        self,
        tensors: Iterable[Tensor],
        see: Callable[[Product], None],
        see_other: Callable[[Tensor, str], None] = lambda *_: None,
    ) -> None:
        self._watched: dict[int, list[Tensor]] = {}
        for tensor in tensors:
            self._watched.setdefault(_storage(tensor), []).append(tensor)
        self._see, self._see_other = see, see_other

    def on(self) -> AbstractContextManager[Any]:
        """Watch for the length of a `with`."""
        from torch.utils._python_dispatch import TorchDispatchMode

        watch = self

        class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return watch.dispatch(func, args, kwargs or {})

        return Mode()  # type: ignore[no-untyped-call]

    def dispatch(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Carry out an operation, and look at it."""
        result = self.carry_out(func, args, kwargs)
        used = [tensor for tensor in tensors_in((args, kwargs)) if self._owner(tensor) is not None]
        if used:
            self._look(func, args, kwargs, used, result)
        return result

    def carry_out(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Return what the operation gives."""
        return func(*args, **kwargs)

    def _look(self, func: Any, args: Any, kwargs: dict[str, Any], used: list[Tensor], result: Any) -> None:
        name = func._schema.name
        if name not in PLAIN | GROUPED:
            made = tensors_in(result)
            if not made or any(_storage(part) != _storage(used[0]) for part in made):
                for tensor in used:
                    self._see_other(self._owner(tensor), name)  # type: ignore[arg-type]
            return
        for weight, rows, product, rounding in _pairs(name, args, kwargs, result):
            owner = self._owner(weight)
            if owner is None:
                continue
            first, second = weight.stride()
            transposed = first > second or (first == second and weight.shape[0] > 1)
            kept = weight.shape if transposed else weight.shape[::-1]
            if min(first, second) != 1 or max(first, second) != kept[1]:
                self._see_other(owner, f"{name} with a part of a matrix")
                continue
            start = int(weight.storage_offset() - owner.storage_offset())
            self._see(Product(owner, start, (kept[0], kept[1]), transposed, rows, product, rounding))

    def _owner(self, tensor: Tensor) -> Tensor | None:
        """Return the watched tensor that this one lies in."""
        for watched in self._watched.get(_storage(tensor), ()):
            begin = watched.storage_offset()
            if begin <= tensor.storage_offset() < begin + watched.numel():
                return watched
        return None


@contextmanager
def products_with(linears: Sequence[Linear]) -> Iterator[dict[str, list[Tensor]]]:
    """For the length of a `with`, gather by layer the inputs [tokens, in] of every product with its weight.

    ModelError if the first product with a tensor is not what the inputs and the layer's weight give. A product in which
    all numbers are 0, or vanish beside those of a bias, shows nothing: then the next one is looked at.
    """
    rows: dict[str, list[Tensor]] = {linear.name: [] for linear in linears}
    if not linears:
        yield rows
        return
    tensors = {id(linear.parameter): linear.parameter for linear in linears}
    by_place = {(id(linear.parameter), _start(linear)): linear for linear in linears}
    checked: set[int] = set()

    def look(product: Product) -> None:
        linear = by_place.get((id(product.tensor), product.start))
        if linear is None:  # an expert that the step leaves out
            return
        if id(product.tensor) not in checked and _reproduced(linear, product):
            checked.add(id(product.tensor))
        rows[linear.name].append(product.rows)

    with ProductWatch(tensors.values(), look).on():
        yield rows


def _start(linear: Linear) -> int:
    return int(linear.weight.storage_offset() - linear.parameter.storage_offset())


def _reproduced(linear: Linear, product: Product) -> bool:
    """Say whether a layer's weight gives a product again, False where that shows nothing; ModelError if it does not."""
    chosen = product.rows.any(dim=1).nonzero().flatten()[:_CHECKED]
    made, result = (product.rows[chosen] @ linear.weight.T).float(), product.result[chosen].float()
    noise = product.rounding * result.numel() ** 0.5
    if max(float(made.norm()), float(result.norm())) <= 4 * noise:  # both are 0, or vanish beside a bias
        return False
    if not (made - result).norm() <= _SAME * result.norm() + noise:
        raise ModelError(f"{linear.name}: its weight does not give the outputs that the model computes with it")
    return True


def _pairs(name: str, args: Any, kwargs: dict[str, Any], result: Any) -> Iterator[_Pair]:
    """Yield the matrices of a product, each as weight and as inputs of the other: it is not known which is which."""
    if name in GROUPED:
        rows, weights, ends = args[0], args[1], args[2].tolist()
        for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            yield _Pair(weights[number], rows[begin:end], result[begin:end])
        return
    rounding = 0.0
    left, right = args[:2]
    if name in ("aten::addmm", "aten::baddbmm"):
        bias, left, right = args[:3]
        if bias.device == result.device:  # a run without weights makes results of weights that have no memory
            rounding = _rounding(result)
            result = (result - kwargs.get("beta", 1) * bias) / kwargs.get("alpha", 1)
    if left.dim() == 2:
        lefts, rights, results = [left], [right], [result]
    else:
        lefts, rights, results = list(left), list(right), list(result)
    for one, other, made in zip(lefts, rights, results, strict=True):
        yield _Pair(other, one, made, rounding)
        yield _Pair(one.T, other.T, made.T, rounding)


def _rounding(result: Tensor) -> float:
    """Return by how much the largest number of a result may be off by its dtype."""
    import torch

    if not result.numel() or result.device.type == "meta":
        return 0.0
    return float(result.abs().max()) * torch.finfo(result.dtype).eps


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def tensors_in(tree: Any) -> list[Tensor]:
    """Return the tensors among an operation's arguments, also those in lists."""
    from torch import Tensor
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
