"""Views of values are what torch's views are."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.compile.native.values import Input, Values, View

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def pair(sizes: list[int]) -> tuple[View, torch.Tensor]:
    shape = tuple(sizes)
    return View.of(Input(shape=shape, index=0)), torch.arange(
        torch.Size(shape).numel(), dtype=torch.float64
    ).view(shape)


def elements(view: View) -> torch.Tensor:
    base = torch.arange(view.base.size, dtype=torch.float64)
    return base.as_strided(view.sizes, view.strides, view.offset)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.data())
def test_views_follow_torch(sizes: list[int], data: st.DataObject) -> None:
    view, tensor = pair(sizes)
    for _ in range(data.draw(st.integers(1, 5))):
        rank = tensor.ndim
        step = data.draw(st.sampled_from(["permute", "cut", "insert", "expand", "reshape"]))
        if step == "permute":
            axes = data.draw(st.permutations(range(rank)))
            view, tensor = view.permute(axes), tensor.permute(axes)
        elif step == "cut":
            axis = data.draw(st.integers(0, rank - 1))
            start = data.draw(st.integers(0, tensor.shape[axis] - 1))
            size = data.draw(st.integers(1, tensor.shape[axis] - start))
            view, tensor = view.cut(axis, start, size), tensor.narrow(axis, start, size)
        elif step == "insert":
            axis = data.draw(st.integers(0, rank))
            view, tensor = view.insert(axis), tensor.unsqueeze(axis)
        elif step == "expand":
            wanted = [2 if n == 1 else n for n in tensor.shape]
            view, tensor = view.expand(wanted), tensor.expand(wanted)
        else:
            other = view.reshape([tensor.numel()])
            if other is None:
                assert not tensor.is_contiguous()
                continue
            view, tensor = other, tensor.reshape(-1)
    torch.testing.assert_close(elements(view), tensor)


def test_equal_values_are_one() -> None:
    view, _ = pair([2, 3])
    values = Values()
    assert values.map("add", view, view) == values.map("add", view, view)
    assert values.map("mul", view, values.const(1.0)) == view
    assert values.map("sub", view, values.const(0.0)) == view
    joined = values.join([view, view], 1)
    doubled = values.map("neg", joined)
    assert doubled == values.join([values.map("neg", view)] * 2, 1)
