"""One installation, wired together: its connections, keys and sign-ins, and what all doors do with them.

`Home` is the only place that knows all parts; the other modules here are what the command line, the library and the
web page share, so that no door decides anything. Importing `Home` stays cheap: the rest is imported when it is used.
"""

from datapallas.home.facts import facts_of
from datapallas.home.home import CONNECTIONS, Home
from datapallas.home.overview import Row

__all__ = ["CONNECTIONS", "Home", "Row", "facts_of"]
