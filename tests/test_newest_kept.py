"""Of a mapping the newest entries are kept, in the order in which they came."""

from agent.model.newest_kept import remember_newest


def test_the_oldest_entries_are_forgotten() -> None:
    kept: dict[str, int] = {}
    for number, key in enumerate("abcd"):
        remember_newest(kept, key, number, 3)
    assert list(kept.items()) == [("b", 1), ("c", 2), ("d", 3)]


def test_an_entry_that_comes_again_is_the_newest() -> None:
    kept = {"a": 1, "b": 2, "c": 3}
    remember_newest(kept, "a", 4, 3)
    remember_newest(kept, "d", 5, 3)
    assert list(kept.items()) == [("c", 3), ("a", 4), ("d", 5)]
