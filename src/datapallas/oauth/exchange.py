"""Ask a token endpoint, read the answer: the two halves put together, in one place.

Must stay true: nothing we sent comes back in an error's text, and a client that was refused for the way it gave its
secret is asked a second time the other way; nothing else is ever sent twice here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.errors import TokenRefused
from datapallas.oauth.answers import TokenAnswer, read_token_answer

if TYPE_CHECKING:
    from datapallas.oauth.endpoint import Answer, Endpoint
    from datapallas.oauth.grants import Form


def ask(endpoint: Endpoint, url: str, form: Form) -> tuple[TokenAnswer, Answer]:
    """The tokens and the answer they came in. Raises what `Endpoint.post` and `read_token_answer` raise.

    RFC 6749 section 2.3.1 promises Basic for every client with a secret; some providers know the form field only.
    `invalid_client` comes before the grant is looked at (section 5.2), so the second try costs no code and no token.
    """
    try:
        return _once(endpoint, url, form)
    except TokenRefused as problem:
        if not form.basic or problem.error != "invalid_client":
            raise
    return _once(endpoint, url, form.secret_in_body())


def _once(endpoint: Endpoint, url: str, form: Form) -> tuple[TokenAnswer, Answer]:
    answer = endpoint.post(url, form)
    tokens = read_token_answer(
        answer.status, answer.headers, answer.body, clock_skew=answer.clock_skew, hide=form.secrets()
    )
    return tokens, answer
