"""`python -m kbvqa`: the command line."""

import sys
from pathlib import Path

# A folder named app/ or corpus/ in the working directory is not kbvqa's.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.cli import main

main()
