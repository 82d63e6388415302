"""The index of the feed, where two bring it up at once."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from api_kit import Desk, about
from tocsin_node.api.index import catch_up, open_index
from tocsin_node.store.reader import Reader, SignalRow


class Slow(Reader):
    """Somebody else brings the index up between this reader's look and its answer."""

    desk: Desk

    def signals(self, **words: Any) -> list[SignalRow]:
        rows = super().signals(**words)
        self.desk.index()
        return rows


def test_two_who_bring_the_index_up_at_once_file_each_signal_once(desk: Desk) -> None:
    desk.say(*(about(n) for n in range(1, 4)), index=False)
    data_dir = desk.config.node.data_dir
    with closing(open_index(data_dir)) as index, Slow(data_dir) as reader:
        reader.desk = desk
        while catch_up(index, reader):
            pass
        assert index.execute("SELECT COUNT(*) FROM signals").fetchone() == (3,)
