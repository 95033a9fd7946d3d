"""Tables under several threads and in forked processes."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest
import torch
from embedding_support import dense_rows, full_bag, ones_bag

from taut.embedding import ElasticEmbeddingBag


def run_at_once(*calls):
    """Runs calls on threads of their own; their exceptions reach the test."""
    failed = []

    def guarded(call):
        try:
            call()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)


def test_backward_passes_of_several_threads_are_each_done_whole():
    bag = ones_bag(1000)
    ids = torch.arange(1000).reshape(-1, 1)

    def train():
        for _ in range(25):
            bag(ids).sum().backward()

    run_at_once(train, train, train)
    torch.testing.assert_close(dense_rows(bag, 1000), torch.full((1000, 8), 1 - 0.1 * 75), atol=1e-4, rtol=0)


def test_lookups_while_another_thread_trains_see_whole_steps():
    bag = ones_bag(4000)
    ids = torch.arange(4000).reshape(-1, 1)
    stop = threading.Event()

    def train():
        for _ in range(30):
            bag(ids).sum().backward()
        stop.set()

    def read():
        with torch.no_grad():
            while not stop.is_set():
                out = bag(ids)
                assert torch.equal(out, out[0].expand_as(out))  # all rows have had as many steps

    run_at_once(train, read, read)


def threads_of_this_process():
    return len(list(Path("/proc/self/task").iterdir()))


def test_bags_of_a_process_share_their_threads():
    bags = [ElasticEmbeddingBag(100, 8, memory_budget="1MiB", threads=5)]
    before = threads_of_this_process()
    bags += [ElasticEmbeddingBag(100, 8, memory_budget="1MiB", threads=5) for _ in range(20)]
    assert threads_of_this_process() == before


def in_child(call, bag, ids, queue):
    queue.put(call(bag, ids))


def look_up(bag, ids):
    with torch.no_grad():
        return bag(ids).tolist()


def train_and_look_up(bag, ids):
    bag(ids).sum().backward()
    return look_up(bag, ids)


def build_train_and_look_up(_bag, ids):
    return train_and_look_up(full_bag(threads=4), ids)


def result_of_child(call, bag, ids):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(call, bag, ids, queue))
    child.start()
    try:
        return queue.get(timeout=60)
    finally:
        child.join(10)
        child.kill()


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_forked_children_look_up_and_train_rows_of_their_own(threads):
    bag, same = full_bag(threads=threads), full_bag(threads=threads)
    ids = torch.arange(3000).reshape(-1, 1)
    train_and_look_up(bag, ids)
    train_and_look_up(same, ids)
    rows = look_up(bag, ids)
    assert result_of_child(look_up, bag, ids) == rows
    assert result_of_child(train_and_look_up, bag, ids) == train_and_look_up(same, ids)
    assert look_up(bag, ids) == rows
    fresh = train_and_look_up(full_bag(threads=1), ids)
    assert result_of_child(build_train_and_look_up, bag, ids) == fresh


def test_children_forked_while_a_thread_trains_do_not_hang():
    bag = full_bag(threads=4)
    ids = torch.arange(3000).reshape(-1, 1)
    stop = threading.Event()

    def train():
        while not stop.is_set():
            bag(ids).sum().backward()

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if len(look_up(bag, ids[:64])) == 64 else 1)
            waited = threading.Timer(30, os.kill, (child, 9))
            waited.start()
            status = os.waitpid(child, 0)[1]
            waited.cancel()
            assert status == 0
    finally:
        stop.set()
        trainer.join()


class Pooled(torch.utils.data.Dataset):
    """Features made by a frozen table in the workers."""

    def __init__(self, bag):
        self.bag = bag

    def __len__(self):
        return 8

    def __getitem__(self, k):
        with torch.no_grad():
            return self.bag(torch.arange(k, k + 4096).reshape(-1, 4))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader_look_up(start):
    bag = full_bag(threads=4)
    bag(torch.arange(5000).reshape(-1, 1)).sum().backward()
    data = Pooled(bag)
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, timeout=60, multiprocessing_context=start)
    batches = list(loader)
    assert len(batches) == 4
    assert torch.equal(torch.cat(batches), torch.stack([data[k] for k in range(8)]))
