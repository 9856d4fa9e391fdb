"""Each error says whether it passes by itself and what a script sees."""

from __future__ import annotations

import pytest

from datapallas import errors
from datapallas.errors import SmtpRefused, TokenRefused


@pytest.mark.parametrize(
    ("step", "code", "transient", "exit_code"),
    [("AUTH", 535, False, 77), ("AUTH", 454, True, 75), ("RCPT", 550, False, 69), ("MAIL", 421, True, 75)],
)
def test_a_servers_refusal_tells_a_script_what_to_do(
    step: str, code: int, transient: bool, exit_code: int
) -> None:
    """4yz passes by itself; a refused sign-in is 77; another 5yz is 69."""
    error = SmtpRefused("Refused.", step=step, reply_code=code, text="no")
    assert (error.transient, error.exit_code) == (transient, exit_code)
    assert error.raw == f"{code} no"


@pytest.mark.parametrize(
    ("error", "status", "numbers", "transient", "exit_code"),
    [
        ("invalid_grant", 400, (70008,), False, 77),
        ("invalid_client", 401, (7000215,), False, 78),
        ("", 503, (), True, 75),
        ("", 429, (), True, 75),
        ("temporarily_unavailable", 400, (), True, 75),
        ("invalid_grant", 400, (50196,), True, 75),
    ],
)
def test_a_token_endpoints_refusal_is_sorted(
    error: str,
    status: int,
    numbers: tuple[int, ...],
    transient: bool,
    exit_code: int,
) -> None:
    """Busy providers pass by themselves; a dead sign-in needs a person; a wrong client needs a change."""
    refused = TokenRefused("No token.", error=error, status=status, error_codes=numbers)
    assert (refused.transient, refused.exit_code) == (transient, exit_code)


def test_every_error_is_in_the_tree() -> None:
    """One tree: whoever catches DataPallasError catches all, and each class is drawn in the module's picture."""
    defined = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    for kind in defined:
        assert issubclass(kind, errors.DataPallasError)
        assert kind.__name__ in (errors.__doc__ or "")
