"""Where ElasticEmbeddingBag is not torch.nn.EmbeddingBag: every line of the table in docs/python.md, and no others."""

import pytest
import torch
from embedding_support import ROOT, sgd_table
from torch.testing._internal.distributed.fake_pg import FakeStore

from taut.embedding import ElasticEmbedding, ElasticEmbeddingBag

WEIGHT = torch.randn(20, 4, generator=torch.Generator().manual_seed(7))
IDS = torch.tensor([[1, 2], [2, 2]])


def table_of(page, title):
    """The lines of the first table of a section, by what their first cell says."""
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("|")]
    return [line.split("|")[1].strip() for line in lines[2:]]


def pair(**options):
    theirs = {name: value for name, value in options.items() if name not in ("strict", "fused")}
    return sgd_table(ElasticEmbeddingBag, WEIGHT, **options), torch.nn.EmbeddingBag(
        20, 4, _weight=WEIGHT.clone(), **theirs
    )


def rows_of(bag):
    return bag.read_rows(torch.arange(20))["vector"]


def ids_of_any_value():
    ours, theirs = pair()
    far = torch.tensor([[-5, 2**60]])
    ours(far)
    with pytest.raises(RuntimeError):
        theirs(far)
    with pytest.raises(IndexError):
        pair(strict=True)[0](far)
    elastic = ElasticEmbeddingBag(20, 4, memory_budget="64KiB")
    assert torch.equal(elastic(far), torch.zeros(1, 4))


def replicas():
    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        ours, theirs = (torch.nn.parallel.DistributedDataParallel(bag) for bag in pair())
        theirs(IDS)
        with pytest.raises(NotImplementedError, match="is not trained by DistributedDataParallel"):
            ours(IDS)
    finally:
        torch.distributed.destroy_process_group()


def rows_are_no_parameter():
    ours, theirs = pair()
    assert [name for name, _ in ours.named_parameters()] == ["anchor"]
    assert [name for name, _ in theirs.named_parameters()] == ["weight"]
    with pytest.raises(AttributeError, match="no dense weight"):
        _ = ours.weight
    assert ours.state_dict()["_extra_state"].dtype == torch.uint8


def lengths():
    torch.nn.EmbeddingBag(4, 513)
    with pytest.raises((ValueError, RuntimeError)):
        ElasticEmbeddingBag(4, 513, memory_budget="1MiB")
    sizes = [ElasticEmbeddingBag(4, dim, memory_budget="1MiB").statistics() for dim in (5, 8)]
    assert sizes[0] == sizes[1]


def backward_is_a_step():
    ours, theirs = pair()
    ours(IDS).sum().backward()
    theirs(IDS).sum().backward()
    assert not torch.equal(rows_of(ours), WEIGHT)
    assert torch.equal(theirs.weight.detach(), WEIGHT)
    deferred, _ = pair(fused=False)
    deferred(IDS).sum().backward()
    assert torch.equal(rows_of(deferred), WEIGHT)
    deferred.step()
    torch.testing.assert_close(rows_of(deferred), rows_of(ours))


def second_derivatives():
    ours, theirs = pair()
    torch.autograd.grad(theirs(IDS).square().sum(), theirs.weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="create_graph"):
        torch.autograd.grad(ours(IDS).square().sum(), ours.anchor, create_graph=True)


def mean_losses():
    bags = [sgd_table(ElasticEmbeddingBag, WEIGHT, loss_reduction=reduction) for reduction in ("mean", "sum")]
    for bag, scale in zip(bags, (1, 2), strict=True):
        (bag(IDS).sum(1).mean() * scale).backward()
    torch.testing.assert_close(rows_of(bags[0]), rows_of(bags[1]))


def held_rows():
    """Memory that backward() reads: a row for each id, where other calls keep the ids alone."""
    kept = {}
    for mode in ("mean", "max"):
        bag, _ = pair(mode=mode)
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=saved: (to.append(x.numel()), x)[1], lambda x: x):
            bag(torch.arange(20).repeat(1000).reshape(1000, 20))
        kept[mode] = sum(saved)
    assert kept["max"] > kept["mean"]


def frequencies():
    """One id four times: by four. PyTorch takes the count of another id where there are several bags."""
    ours, _ = pair(mode="sum", scale_grad_by_freq=True)
    embedding = torch.nn.Embedding(20, 4, _weight=WEIGHT.clone(), scale_grad_by_freq=True)
    ids = torch.tensor([[1, 3], [3, 3]])
    ours(ids).sum().backward()
    embedding(ids).sum().backward()
    torch.testing.assert_close(rows_of(ours), WEIGHT - 0.1 * embedding.weight.grad)


def norms_and_devices():
    torch.nn.EmbeddingBag(20, 4, max_norm=1.0, device="meta")
    for refused in ({"max_norm": 1.0}, {"device": "meta"}):
        with pytest.raises(ValueError, match="must be None"):
            ElasticEmbeddingBag(20, 4, memory_budget="1MiB", **refused)


def without_meaning():
    plain, other = (sgd_table(ElasticEmbeddingBag, WEIGHT, **more) for more in ({}, {"sparse": True, "norm_type": 1.0}))
    for bag in (plain, other):
        bag(IDS).sum().backward()
    assert torch.equal(rows_of(plain), rows_of(other))


def types_of_outputs():
    ours, theirs = (bag.double() for bag in pair())
    assert ours(IDS).dtype == theirs(IDS).dtype == torch.float64
    assert rows_of(ours).dtype == torch.float32
    out = ours(torch.tensor([[1, 2, 3]]))
    assert torch.equal(out, out.float().double())  # no more digits than float32 has


def types_of_weights():
    ours, theirs = pair(mode="sum")
    weights = torch.ones(2, 2, dtype=torch.float64)
    assert torch.equal(ours(IDS, None, weights), ours(IDS))
    with pytest.raises(RuntimeError):
        theirs(IDS, None, weights)


def weights_of_means():
    for bag, error in zip(pair(mode="mean"), (ValueError, NotImplementedError), strict=True):
        with pytest.raises(error):
            bag(IDS, None, torch.ones(2, 2))


def bags_without_ids():
    ours, theirs = pair()
    nothing = torch.zeros(3, 0, dtype=torch.int64)
    assert torch.equal(ours(nothing), torch.zeros(3, 4))
    with pytest.raises(RuntimeError):
        theirs(nothing)


def pretrained():
    torch.nn.EmbeddingBag.from_pretrained(WEIGHT, True, None, 2.0, False, "sum")
    for cls in (ElasticEmbeddingBag, ElasticEmbedding):
        with pytest.raises(TypeError):
            cls.from_pretrained(WEIGHT, True, None)


DIFFERENCES = {
    "ids": ids_of_any_value,
    "`DistributedDataParallel`": replicas,
    "rows": rows_are_no_parameter,
    "lengths of rows": lengths,
    "training": backward_is_a_step,
    "second derivatives (`create_graph=True`)": second_derivatives,
    "mean losses": mean_losses,
    '`mode="max"`, `per_sample_weights` that learn, `scale_grad_by_freq`': held_rows,
    "`scale_grad_by_freq`": frequencies,
    "`max_norm`, `device`": norms_and_devices,
    "`sparse`, `norm_type`": without_meaning,
    "`dtype`, `half()`, `bfloat16()`, `double()`": types_of_outputs,
    "types of `per_sample_weights`": types_of_weights,
    "`per_sample_weights` of means and maxima": weights_of_means,
    "bags without ids, 2-dimensional": bags_without_ids,
    "arguments of `from_pretrained` behind `freeze`": pretrained,
}


def test_the_page_has_these_differences_and_no_others():
    page = (ROOT / "docs" / "python.md").read_text()
    assert table_of(page, "ElasticEmbeddingBag") == list(DIFFERENCES)


@pytest.mark.parametrize("shows", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_difference_is_as_the_page_says(shows):
    shows()
