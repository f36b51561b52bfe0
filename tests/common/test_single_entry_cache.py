from __future__ import annotations

import pytest

from cosmos_exp.common.single_entry_cache import SingleEntryCache


def test_a_value_is_made_again_only_for_another_key() -> None:
    made: list[str] = []

    def value_of(key: str) -> str:
        return kept.get(key, lambda: made.append(key) or f"value of {key}")

    kept = SingleEntryCache()
    assert [value_of(key) for key in "aabba"] == [f"value of {key}" for key in "aabba"]
    assert made == ["a", "b", "a"]


def test_a_failed_attempt_leaves_nothing_behind() -> None:
    kept = SingleEntryCache()
    kept.get("a", lambda: 1)
    with pytest.raises(ZeroDivisionError):
        kept.get("b", lambda: 1 / 0)
    assert kept.get("a", lambda: 2) == 2
