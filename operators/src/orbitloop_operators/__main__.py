"""``python -m orbitloop_operators`` is ``orbitloop-operators``."""

import sys

from orbitloop_operators.cli import main

sys.exit(main())
