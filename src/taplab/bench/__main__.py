"""`python -m taplab.bench`."""

import sys

from taplab.bench.cli import main

sys.exit(main())
