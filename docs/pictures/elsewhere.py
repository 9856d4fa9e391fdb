"""`datapallas`, on a machine where the names of mail servers and Microsoft's login lead to the sandbox.

Only the pictures need it: the pages say smtp.office365.com, and nothing leaves this machine.
DATAPALLAS_PICTURES_PORT is the sandbox's mail port, DATAPALLAS_PICTURES_LOGIN its address.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from datapallas.cli import main
from datapallas.connection import provider
from datapallas.connection.model import Cloud

NAMES = ("smtp.office365.com", "smtp.gmail.com", "mail.contoso.example")
_look_up = socket.getaddrinfo


def _here(host: Any, port: Any, *more: Any, **how: Any) -> Any:
    if host in NAMES:
        host, port = "127.0.0.1", int(os.environ["DATAPALLAS_PICTURES_PORT"])
    return _look_up(host, port, *more, **how)


if __name__ == "__main__":
    socket.getaddrinfo = _here
    worldwide = provider.MICROSOFT[Cloud.GLOBAL]._replace(login=os.environ["DATAPALLAS_PICTURES_LOGIN"])
    provider.MICROSOFT = {**provider.MICROSOFT, Cloud.GLOBAL: worldwide}
    sys.exit(main())
