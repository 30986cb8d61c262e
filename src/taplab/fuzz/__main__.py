"""`python -m taplab.fuzz`."""

import sys

from taplab.fuzz.cli import main

sys.exit(main())
