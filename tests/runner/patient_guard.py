"""The guard, with time for counters on a busy computer: ``python -m tests.runner.patient_guard RUN ...``."""

import sys

from labloop.bench import rescue
from labloop.runner import guard

if __name__ == "__main__":
    rescue.READ_S = 60.0  # type: ignore[misc]
    sys.exit(guard.main())
