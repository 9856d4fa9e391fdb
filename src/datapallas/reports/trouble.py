"""Why one recipient's email cannot be made: raised while it is made, and a Problem by the time anybody sees it.

Must stay true: it never leaves this package as an exception. `text` is one sentence for the person who keeps the
report, and holds nothing of the recipient but what that person needs to find the fault.
"""

from __future__ import annotations


class Trouble(Exception):
    """What is wrong.

    Attributes:
        code: as Problem's: template, document, size.
        text: one sentence.
        fatal: the process that met it is not to be trusted with another recipient.
    """

    def __init__(self, code: str, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.fatal = fatal
