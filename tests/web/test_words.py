"""How pages write what programs say."""

from __future__ import annotations

from datapallas.web.pages.times import clock


def test_a_time_is_written_as_people_read_it() -> None:
    """A time of the API becomes one of a page; anything else stays as it is."""
    assert clock("2026-11-28T10:24:32Z") == "2026-11-28 10:24:32 UTC"
    assert [clock(text) for text in ("", "Taxi", "Z")] == ["", "Taxi", "Z"]
