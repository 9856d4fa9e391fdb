"""PDFs that open with a password only: AES-256 (ISO 32000-2 section 7.6).

Must stay true: where a password was asked for, no document goes out without one.
"""

from __future__ import annotations

import io
import secrets
from typing import TYPE_CHECKING

from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    import pikepdf

_MOST = 127  # octets of UTF-8 that count; longer ones would be cut without a word


def encryption(password: str) -> pikepdf.Encryption:
    """What pikepdf needs to save with a password. The owner's is thrown away, so nobody has more rights."""
    import pikepdf

    if not password.strip():
        raise Trouble("document", "The password of the PDF is empty; it is not sent without one.")
    if len(password.encode("utf-8", "replace")) > _MOST or not password.isprintable():
        raise Trouble(
            "document",
            f"The password of the PDF is longer than {_MOST} octets, or holds a control character.",
        )
    return pikepdf.Encryption(owner=secrets.token_hex(16), user=password, R=6, aes=True)


def sealed(data: bytes, password: str, name: str) -> bytes:
    """The same PDF with a password. Raises Trouble: empty password, or not a PDF one can change."""
    import pikepdf

    how = encryption(password)
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            out = io.BytesIO()
            pdf.save(out, encryption=how)
    except pikepdf.PasswordError:
        raise Trouble(
            "document", f"{name} has a password already, so it cannot be given another one."
        ) from None
    except pikepdf.PdfError:
        raise Trouble(
            "document", f"{name} is not a PDF that can be read, so it cannot be given a password."
        ) from None
    return out.getvalue()
