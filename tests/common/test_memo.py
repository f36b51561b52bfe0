from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cosmos_exp.common.memo import Memo


def test_a_value_is_made_once_for_all_threads() -> None:
    memo, made, both = Memo(), [], threading.Barrier(2)

    def make() -> int:
        made.append(threading.get_ident())
        return len(made)

    def ask(_: int) -> int:
        both.wait()
        return memo.once("what", make)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == [1, 1]


def test_a_value_may_need_another_and_itself_fail() -> None:
    memo = Memo()
    assert memo.once("outer", lambda: memo.once("inner", lambda: 1) + 1) == 2
    with pytest.raises(ZeroDivisionError):
        memo.once("bad", lambda: 1 / 0)
    assert memo.once("bad", lambda: 3) == 3


def test_what_is_not_kept_is_made_again() -> None:
    memo, made = Memo(), []
    for _ in range(2):
        memo.once("large", lambda: made.append(1) or len(made), keep=lambda value: False)
    assert made == [1, 1] and memo == {}
