import itertools

from training import parallel


def test_results_keep_the_order_on_several_processes():
    values = list(parallel.ordered(abs, iter(range(-500, 0)), processes=2, batch=10))
    assert values == list(range(500, 0, -1))


def test_it_reads_no_further_than_a_few_batches_ahead():
    taken = itertools.count()
    source = (next(taken) for _ in range(10**9))
    results = parallel.ordered(abs, source, processes=2, batch=10)
    assert [next(results) for _ in range(15)] == list(range(15))
    assert next(taken) <= 15 + 6 * 10
    results.close()


def test_a_few_items_start_no_process():
    results = parallel.ordered(lambda number: number + 1, range(5), processes=8)  # a lambda cannot travel
    assert list(results) == [1, 2, 3, 4, 5]
