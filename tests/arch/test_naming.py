"""Names say a role in two words or more, and texts say who does what. The figures only become better."""

from __future__ import annotations

from tests.arch import naming
from tests.arch.modules import MARK, PAGE, modules

ONE_WORD_SHARE = 0.03
MEAN_LENGTH = 14.0


def test_the_names_of_functions_say_their_role() -> None:
    count = naming.count_names(naming.product_sources())
    assert count.distinct > 2000
    assert count.one_word_share <= ONE_WORD_SHARE, f"{count.one_word} of {count.distinct} names are one word"
    assert count.mean_length >= MEAN_LENGTH, f"{count.mean_length:.2f} letters"


def test_names_are_counted_once_and_without_underscores() -> None:
    count = naming.count_names(
        ["def over(): ...\nclass A:\n    def _over(self): ...\n", "async def send_status(): ..."]
    )
    assert (count.distinct, count.one_word, count.mean_length) == (2, 1, 7.5)


def test_every_module_has_a_row_in_the_architecture() -> None:
    table = PAGE.read_text("utf-8").partition(MARK)[2]
    rows = table.count("\n| `")
    assert rows == len(modules())
    assert ".py` |  |" not in table, "a module without a docstring"


def test_texts_say_who_does_what() -> None:
    assert [hit for path in naming.prose_files() for hit in naming.forbidden_words(path)] == []


def test_a_forbidden_word_is_found() -> None:
    assert naming.FORBIDDEN.search("what no" + "body has seen")
    assert [text for _, text in naming.texts_of_code("x = 1  # a comment\n")] == ["# a comment"]
