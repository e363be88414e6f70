"""What each command calls and prints; :data:`nacd_bench.cli.main.COMMANDS` names them."""

import time

STARTED = time.perf_counter()
"""When the command did: this is imported before anything that takes long."""
