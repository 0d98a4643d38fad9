"""`python -m app`: the command line on the native host."""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
