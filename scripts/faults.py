"""`make faults`: scenarios in which things go wrong, drawn from seeds, and a table of what came of them.

`make faults N=2000` plays many, `make faults SEED=123 N=1` one again. What does not hold names its seed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from tests.faults.campaign import describe, run_campaign

if TYPE_CHECKING:
    from tests.faults.scenario import Result


def main() -> int:
    """Exit code 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200, help="scenarios")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    began = time.monotonic()

    def tell(result: Result) -> None:
        if result.violations:
            print(describe(result), file=sys.stderr, flush=True)

    seeds = range(asked.seed, asked.seed + asked.number)
    summary = run_campaign(seeds, processes=min(asked.processes, asked.number), on_result=tell)
    print(summary.table())
    print(f"\n{time.monotonic() - began:.0f} s in {asked.processes} processes")
    return 1 if summary.broken or summary.past_deadline else 0


if __name__ == "__main__":
    sys.exit(main())
