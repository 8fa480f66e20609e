"""``python -m splinecam`` is the command ``splinecam``."""

import sys

from splinecam.cli import main

sys.exit(main())
