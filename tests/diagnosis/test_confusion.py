"""Refusals as real servers word them: each leads to one diagnosis, the right one."""

from __future__ import annotations

import pytest

from diagnosis.confusion import Recorded, judge, recorded, table

TEXTS = recorded()


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: f"{one.source}: {one.text[:50]}")
def test_a_recorded_refusal_leads_to_one_right_diagnosis(one: Recorded) -> None:
    """Whatever Exchange, Gmail, Postfix, Dovecot or Exim said, alone or in a log, is explained by its own row."""
    verdict = judge(one)
    assert verdict.got == one.wanted
    assert verdict.all_of_it == (one.wanted,)
    assert verdict.margin > 0, f"{verdict.rival} fits equally well"


def test_the_confusion_table_can_be_printed() -> None:
    """The table has a line for each row that was met, and ends with how many are wrong: none."""
    printed = table()
    assert printed.endswith(", 0 wrong")
    assert {one.source for one in TEXTS} >= {"seen", "exchange", "gmail", "postfix", "dovecot", "exim"}
    assert all(f"\n{one.wanted} " in printed for one in TEXTS)
