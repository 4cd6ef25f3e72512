"""`python -m gpen_core` is `gpen`."""

import sys

from .cli import main

sys.exit(main())
