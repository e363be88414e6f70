"""Set before torch loads: on a busy machine its idle threads would take the working ones' time."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
