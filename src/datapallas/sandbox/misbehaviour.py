"""HTTP answers that are wrong on purpose: errors, silence, HTML where JSON belongs, a body without end.

Must stay true: each kind is one real thing seen from providers, proxies and load balancers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.sandbox.http import Answer, json_answer, redirect

if TYPE_CHECKING:
    from datapallas.sandbox.faults import Fault

_HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_ENDLESS = b'{"access_token":"' + b"x" * (1 << 20) + b'"}'
_WORDS = {
    429: ("temporarily_unavailable", "too many requests"),
    500: ("server_error", "something went wrong"),
    502: ("server_error", "bad gateway"),
    503: ("temporarily_unavailable", "try again later"),
}


_STRANGE: dict[str, Answer] = {
    "drop": Answer(500, {}, b"", drop=True),
    "html": Answer(200, {"Content-Type": "text/html"}, _HTML),
    "huge": Answer(200, {"Content-Type": "application/json"}, _ENDLESS),
    "redirect": redirect("https://elsewhere.example/token"),
    "empty": Answer(400, {"Content-Type": "application/json"}, b""),
}


def http_fault(fault: Fault) -> Answer:
    """The answer that `fault` stands for."""
    if fault.what in _STRANGE:
        return _STRANGE[fault.what]
    status = 500 if fault.what == "slow" else int(fault.what)
    error, text = _WORDS.get(status, ("invalid_request", "bad request"))
    answer = json_answer({"error": error, "error_description": text}, status)
    if fault.what == "slow":
        answer.delay = fault.seconds
    elif fault.seconds:
        answer.headers["Retry-After"] = f"{fault.seconds:.0f}"
    return answer
