"""`python -m datapallas` is the same command as `datapallas`."""

import sys

from datapallas.cli import main

sys.exit(main())
