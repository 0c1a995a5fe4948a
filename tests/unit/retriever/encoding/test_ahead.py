"""Work that is done ahead comes in order."""

from concurrent.futures import ThreadPoolExecutor

from retriever.encoding.ahead import map_ahead


def test_batches_come_in_order_with_few_under_way() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return -item

    with ThreadPoolExecutor(3) as pool:
        values = map_ahead(pool, work, range(20), depth=4)
        assert next(values) == 0
        assert len(started) <= 5
        assert list(values) == [-i for i in range(1, 20)]
