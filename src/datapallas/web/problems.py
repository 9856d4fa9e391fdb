"""Answers to requests that fail: a calm page, a piece of one for htmx, or `application/problem+json` (RFC 9457).

Must stay true: what failed is explained by the catalogue; no traceback and no secret is in an answer.
"""

from __future__ import annotations

import dataclasses
import http
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from datapallas import errors
from datapallas.diagnosis.explain import explain
from datapallas.web.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Scope

    from datapallas.diagnosis.explain import Diagnosis

PROBLEM_JSON = "application/problem+json"
_STATUS: tuple[tuple[type[errors.DataPallasError], int], ...] = (
    (errors.UnknownConnection, 404),
    (errors.UsageError, 400),
    (errors.MessageError, 422),
    (errors.ConfigurationError, 409),
    (errors.SignInError, 409),
    (errors.StorageError, 503),
    (errors.TokenRefused, 502),
    (errors.Unreachable, 502),
    (errors.TlsRefused, 502),
    (errors.SmtpRefused, 502),
    (errors.SmtpUnsupported, 502),
    (errors.ProtocolError, 502),
    (errors.RecipientsRefused, 502),
)

_BY_CODE = {
    "too-many": 429,
    "unknown-job": 404,
    "unknown-message": 404,
    "unknown-report": 404,
    "unknown-run": 404,
    "run-begun": 409,
    "run-ended": 409,
    "run-not-ready": 409,
    "job-closed": 409,
    "content-gone": 409,
    "key-reused": 422,
    "key-without-job": 422,
}


class Code(StrEnum):
    """Problems that are no failure of ours: names for programs. A failure of ours brings its own code."""

    NOT_VALID = "not-valid"
    ENDS_SIGN_IN = "ends-sign-in"
    DEFAULT_CONNECTION = "default-connection"
    NOT_OFFERED = "not-offered"
    UNKNOWN_SIGN_IN = "unknown-sign-in"
    UNKNOWN_TEST_EMAIL = "unknown-test-email"
    UNKNOWN_CHECK = "unknown-check"


class FieldError(NamedTuple):
    """What is wrong with one value, without the value."""

    field: str
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer to a request that fails.

    Attributes:
        status: the HTTP status.
        title: what failed, in a few words; empty: the status in words.
        detail: why, and what to do next.
        code: a name for programs; empty: the status in words.
        errors: values that cannot be used.
        diagnosis: when something of ours failed.
        headers: further headers, such as Retry-After.
        template: the page, when it is not the one for problems.
    """

    status: int
    title: str = ""
    detail: str = ""
    code: str = ""
    errors: Sequence[FieldError] = ()
    diagnosis: Diagnosis | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    template: str = "problem.html"

    def to_dict(self) -> dict[str, object]:
        """The members RFC 9457 section 3.1 names, and ours: code, errors and diagnosis."""
        code = self.code or http.HTTPStatus(self.status).phrase.lower().replace(" ", "-")
        name = self.diagnosis.id if self.diagnosis else self.code
        kind = f"urn:datapallas:{name}" if name else "about:blank"
        document: dict[str, object] = {"type": kind, "title": self.words, "status": self.status, "code": code}
        if self.detail:
            document["detail"] = self.detail
        if self.errors:
            document["errors"] = [one._asdict() for one in self.errors]
        if self.diagnosis:
            document["diagnosis"] = self.diagnosis.to_dict()
        return document

    @property
    def words(self) -> str:
        """What failed, in a few words."""
        return self.title or http.HTTPStatus(self.status).phrase


class Refused(Exception):
    """The guard, or a route, refuses a request with `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.words)
        self.problem = problem


def is_api(scope: Scope) -> bool:
    """The request is a program's: its answer is JSON, also when it fails."""
    path: str = scope["path"]
    return path.startswith("/api/")


def answer(scope: Scope, problem: Problem) -> Response:
    """The answer as whoever asked can read it."""
    headers = dict(problem.headers)
    if is_api(scope):
        return JSONResponse(problem.to_dict(), problem.status, headers, media_type=PROBLEM_JSON)
    if (
        problem.status == http.HTTPStatus.MISDIRECTED_REQUEST
    ):  # who asks for another host gets no page of ours
        return PlainTextResponse(f"{problem.words}. {problem.detail}\n", problem.status, headers)
    request = Request(scope)
    template = "_problem.html" if "hx-request" in request.headers else problem.template
    return render(request, template, status=problem.status, headers=headers, problem=problem)


def of_error(error: BaseException) -> Problem:
    """What an exception comes to: its explanation, and the status that says whose business it is."""
    diagnosis = explain(error)
    if not isinstance(error, errors.DataPallasError):  # nobody has looked at what it says
        diagnosis = dataclasses.replace(diagnosis, raw="")
    return Problem(
        status=status_of(error),
        title=diagnosis.title,
        detail=diagnosis.cause,
        code=error.code if isinstance(error, errors.DataPallasError) else "",
        diagnosis=diagnosis,
    )


def status_of(error: BaseException) -> int:
    """The HTTP status an exception comes to."""
    if isinstance(error, errors.DataPallasError):
        if error.code in _BY_CODE:
            return _BY_CODE[error.code]
        for kind, status in _STATUS:
            if isinstance(error, kind):
                return status
    return 500


def tell(error: BaseException) -> None:
    """Tell whoever runs the server about a fault of ours: on stderr, explained; the traceback on demand only."""
    print(explain(error).render(), file=sys.stderr, flush=True)  # noqa: T201 - the log of a server without one
    if os.environ.get("DATAPALLAS_DEBUG"):
        import traceback

        traceback.print_exception(error)
