"""Entry point of `python -m tests.bench.peers`."""

import sys

from tests.bench.peers.run import main

sys.exit(main(sys.argv[1:]))
