"""A nursery (see nursery.py) whose runners need no planner: none of their trials is proposed by a model."""

import nursery
from reach import Away

if __name__ == "__main__":
    nursery.InlinePlanner = lambda spec, folder: Away()  # type: ignore[assignment,misc]
    nursery.main()
