"""taut.winners beside torch.topk, its gradients, torch's own checks, and the modules over it."""

import copy
import doctest
import math

import pytest
import torch

import taut
import taut.sparsity
from taut.sparsity import WinnersTakeAll, cubic, set_rates, sparsify, step, winner_layers

FORMATS = [torch.contiguous_format, torch.channels_last]
ALL_UNITS = [("neuron", (5, 33)), ("element", (5, 33)), ("block", (5, 32))]
ALL_UNITS += [(unit, (3, 16, 5, 7)) for unit in ("channel", "position", "element", "block")]


def values(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def by_topk(x, rate, unit, block=8):
    """The winners by torch.topk and scatter."""
    if unit in ("neuron", "element"):
        flat = x.flatten(1).unsqueeze(2)
    elif unit == "channel":
        flat = x.flatten(2)
    else:
        flat = x.flatten(2).transpose(1, 2) if x.dim() == 4 else x.unsqueeze(1)
        flat = flat.reshape(-1, flat.shape[2] // (block if unit == "block" else 1), block if unit == "block" else 1)
    scores = flat.float().abs().mean(2)
    chosen = scores.topk(max(1, math.ceil(round(rate * scores.shape[1], 9))), dim=1).indices
    mask = torch.zeros_like(scores).scatter(1, chosen, 1.0).unsqueeze(2).expand_as(flat)
    kept = (flat * mask.to(flat.dtype)).to(flat.dtype)
    if unit in ("position", "block") and x.dim() == 4:
        kept = kept.reshape(x.shape[0], -1, x.shape[1]).transpose(1, 2)
    return kept.reshape(x.shape)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("unit", "shape"), ALL_UNITS)
def test_winners_are_those_of_topk(unit, shape, rate, memory_format):
    x = values(*shape)
    if len(shape) == 4:
        x = x.to(memory_format=memory_format)
    y = torch.ops.taut.winners(x, rate, unit)
    assert torch.equal(y, by_topk(x, rate, unit))
    assert y.stride() == x.stride()


@pytest.mark.parametrize(("unit", "shape"), ALL_UNITS)
def test_bfloat16_stays_bfloat16(unit, shape):
    x = values(*shape, dtype=torch.bfloat16)
    y = torch.ops.taut.winners(x, 0.3, unit)
    assert y.dtype == torch.bfloat16
    # Ties aside, which topk decides otherwise: the kept scores are the same.
    wanted = by_topk(x, 0.3, unit)
    assert torch.allclose(y.float().abs().sum(), wanted.float().abs().sum(), rtol=1e-2)
    assert torch.equal(y[y != 0], x[y != 0])


def test_autocast_changes_nothing():
    layer = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), WinnersTakeAll(0.25), torch.nn.Linear(32, 4))
    x = values(8, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = layer[:3](x)
        assert hidden.dtype == torch.bfloat16
        layer(x).float().sum().backward()
    assert (hidden != 0).sum(1).max() <= 8
    assert layer[0].weight.grad.isfinite().all()


def test_a_strided_tensor_gives_the_same_winners():
    x = values(33, 5).t()
    assert torch.equal(torch.ops.taut.winners(x, 0.3, "neuron"), by_topk(x, 0.3, "neuron"))
    sliced = values(3, 16, 9, 9)[:, :, 1:-1, ::2]
    assert torch.equal(torch.ops.taut.winners(sliced, 0.3, "position"), by_topk(sliced, 0.3, "position"))


@pytest.mark.parametrize("score", ["mean_magnitude", "max_magnitude", "mean_square"])
@pytest.mark.parametrize(("unit", "shape"), ALL_UNITS)
def test_gradients_are_right(unit, shape, score):
    x = values(*shape, dtype=torch.float64).requires_grad_()
    call = lambda t: torch.ops.taut.winners(t, 0.3, unit, score)  # noqa: E731
    assert torch.autograd.gradcheck(call, (x,))
    assert torch.autograd.gradgradcheck(call, (x,))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("unit", "shape"), ALL_UNITS)
def test_the_gradient_passes_winners_only(unit, shape, dtype, memory_format):
    x = values(*shape, dtype=dtype)
    if len(shape) == 4:
        x = x.to(memory_format=memory_format)
    x.requires_grad_()
    y = torch.ops.taut.winners(x, 0.3, unit)
    gradient = values(*shape, seed=2, dtype=dtype)  # contiguous, whatever x is
    y.backward(gradient)
    assert torch.equal(x.grad, torch.where(y != 0, gradient, 0))


def test_a_winning_map_passes_the_gradient_of_its_zeros_too():
    x = torch.tensor([[[[0.0, 3.0]], [[1.0, 0.0]]]], requires_grad=True)
    torch.ops.taut.winners(x, 0.5, "channel").sum().backward()
    assert x.grad.tolist() == [[[[1.0, 1.0]], [[0.0, 0.0]]]]


def test_at_rate_1_all_gradients_pass():
    x = torch.tensor([[0.0, -2.0]], requires_grad=True)
    torch.ops.taut.winners(x, 1.0, "neuron").sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("unit", "shape"), ALL_UNITS)
def test_torch_checks_of_the_operators(unit, shape, dtype):
    x = values(*shape, dtype=dtype).requires_grad_()
    torch.library.opcheck(torch.ops.taut.winners.default, (x, 0.3, unit))
    torch.library.opcheck(torch.ops.taut.winners.default, (x, 1.0, unit))
    y = torch.ops.taut.winners(x.detach(), 0.3, unit)
    torch.library.opcheck(torch.ops.taut.winners_backward.default, (x, y, unit))
    if len(shape) == 4:
        last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
        torch.library.opcheck(torch.ops.taut.winners.default, (last, 0.3, unit))


class Net(torch.nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), WinnersTakeAll(rate))
        self.head = torch.nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def test_compiles_as_one_graph_with_the_same_answers():
    net = Net(0.3)
    compiled = torch.compile(copy.deepcopy(net), fullgraph=True, backend="aot_eager")
    x = values(2, 3, 9, 9)
    for module in (net, compiled):
        module(x).square().sum().backward()
    assert torch.equal(net(x), compiled(x))
    for eager, other in zip(net.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(eager.grad, other.grad)


def test_exports_with_any_batch():
    net = Net(0.3).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(net, (values(4, 3, 9, 9),), dynamic_shapes=({0: batch},))
    assert "taut.winners" in str(program.graph)
    x = values(7, 3, 9, 9, seed=3)
    assert torch.equal(program.module()(x), net(x))


def test_the_answer_does_not_depend_on_threads():
    before = torch.get_num_threads()
    x = values(64, 40, 9, 9, dtype=torch.bfloat16)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append([torch.ops.taut.winners(x, 0.3, u) for u in ("channel", "position", "element", "block")])
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


BAD_CALLS = {
    "rate 0": (lambda x: torch.ops.taut.winners(x, 0.0, "element"), "rate must be above 0, at most 1, got 0"),
    "rate above 1": (lambda x: torch.ops.taut.winners(x, 1.5, "element"), "got 1.5"),
    "rate nan": (lambda x: torch.ops.taut.winners(x, math.nan, "element"), "got nan"),
    "neuron of maps": (lambda x: torch.ops.taut.winners(x, 0.5, "neuron"), r"x for unit neuron must be \[batch, feat"),
    "channel of features": (lambda x: torch.ops.taut.winners(x[:, :, 0, 0], 0.5, "channel"), "x for unit channel"),
    "three dimensions": (lambda x: torch.ops.taut.winners(x[0], 0.5, "element"), r"got Float\[6, 4, 4\]"),
    "block uneven": (lambda x: torch.ops.taut.winners(x, 0.5, "block"), "block must be a divisor of the 6 channels"),
    "unit unknown": (lambda x: torch.ops.taut.winners(x, 0.5, "chanel"), r"did you mean channel\?"),
    "score unknown": (lambda x: torch.ops.taut.winners(x, 0.5, "element", "mean_magnitud"), "mean_magnitude"),
    "integers": (lambda x: torch.ops.taut.winners(x.long(), 0.5, "element"), "x must be float32, bfloat16 or float64"),
    "module rate": (lambda x: WinnersTakeAll(1.01), "rate must be above 0, at most 1, got 1.01"),
    "module score": (lambda x: WinnersTakeAll(0.5, score="mean"), "unknown score"),
    "module threshold": (lambda x: WinnersTakeAll(0.5, threshold=-1.0), "threshold must be 0 or more, got -1"),
    "module unit": (lambda x: WinnersTakeAll(0.5, unit="map"), "unit must be one of"),
    "one activation": (
        lambda x: sparsify(torch.nn.Sequential(torch.nn.ReLU()), 0.5),
        "at least two activations, got 1",
    ),
    "schedule": (lambda x: cubic(1, rate=0.5, begin=3, end=3), "end must be above begin 3, got 3"),
}


@pytest.mark.parametrize(("call", "message"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_name_the_argument_and_both_values(call, message):
    with pytest.raises(ValueError, match=message):
        call(values(2, 6, 4, 4))


def small_net():
    layers = []
    for width in (16, 16, 16):
        layers += [torch.nn.Linear(16, width), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


def test_sparsify_leaves_the_last_activation_alone():
    net = sparsify(small_net(), 0.25, unit="neuron")
    assert list(winner_layers(net)) == ["1.1", "3.1"]
    hidden = net[:2](values(9, 16))
    assert (hidden != 0).sum(1).max() <= 4
    set_rates(net, 0.5)
    set_rates(net, {"3.1": 0.75})
    assert [layer.rate for layer in winner_layers(net).values()] == [0.5, 0.75]
    with pytest.raises(ValueError, match=r"rates names 5, layers are 1\.1, 3\.1"):
        set_rates(net, {"5": 0.5})


def test_sparsify_takes_rates_by_name_and_by_function():
    net = sparsify(small_net(), {"3": 0.5})
    assert list(winner_layers(net)) == ["3.1"]
    net = sparsify(small_net(), lambda name, module: 0.3 if name == "1" else None)
    assert list(winner_layers(net)) == ["1.1"]
    with pytest.raises(ValueError, match="policy names 5"):
        sparsify(small_net(), {"5": 0.5})


def test_sparsify_keeps_the_parameters_names():
    plain = small_net()
    assert list(sparsify(copy.deepcopy(plain), 0.5).state_dict()) == list(plain.state_dict())


def test_a_shared_activation_gets_winners_once():
    shared = torch.nn.ReLU()
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), shared, torch.nn.Linear(8, 8), shared, torch.nn.Tanh())
    sparsify(net, 0.25)
    assert len(winner_layers(net)) == 1
    assert net[1] is net[3]
    assert (net[:4](values(5, 8)) != 0).sum(1).max() <= 2


def test_statistics_say_who_wins():
    layer = WinnersTakeAll(0.5)
    layer.track()
    layer(torch.tensor([[9.0, 1.0, 2.0, 0.0], [9.0, 2.0, 1.0, 0.0]]))
    found = layer.statistics()
    assert found["wins"] == [2, 1, 1, 0]
    assert (found["never"], found["always"], found["rate"], found["entropy"]) == (0.25, 0.25, 0.5, 0.5)
    layer.track(False)
    layer(torch.ones(1, 4))
    assert layer.statistics()["trials"] == 2


@pytest.mark.parametrize(("unit", "shape"), ALL_UNITS)
def test_a_calibrated_threshold_meets_the_rate_on_average(unit, shape):
    samples = [values(*shape, seed=s) for s in range(4)]
    layer = WinnersTakeAll(0.3, unit=unit)
    layer.calibrate(samples)
    layer.track()
    for x in samples:
        layer(x)
    assert layer.statistics()["rate"] == pytest.approx(0.3, abs=0.01)
    assert "threshold=" in repr(layer)


def test_a_net_trains_with_winners():
    torch.manual_seed(0)
    net = sparsify(torch.nn.Sequential(*small_net(), torch.nn.Linear(16, 2)), 0.3)
    x = values(256, 16)
    labels = (x[:, 0] * x[:, 1] > 0).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(120):
        loss = torch.nn.functional.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_schedules_reach_their_rate():
    rates = [step(e, rate=0.3, begin=1, end=5, steps=4) for e in range(7)]
    assert rates == pytest.approx([1.0, 0.825, 0.65, 0.475, 0.3, 0.3, 0.3])
    falling = [cubic(e, rate=0.1, begin=0, end=10) for e in range(12)]
    assert falling[0] == 1.0
    assert falling[10:] == [0.1, 0.1]
    assert falling == sorted(falling, reverse=True)


def test_the_package_exports_the_modules():
    assert taut.WinnersTakeAll is WinnersTakeAll
    with pytest.raises(AttributeError, match="no attribute Winners"):
        _ = taut.Winners


def test_documented_examples_run():
    assert doctest.testmod(taut.sparsity).failed == 0
