"""`python -m taplab.simulation`."""

import sys

from taplab.simulation.cli import main

sys.exit(main())
