"""`python -m gpen_core` runs the command `gpen`."""

import sys

from .cli import main

sys.exit(main())
