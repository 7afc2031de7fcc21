"""The machine's own baseline: what figures of two machines are compared by."""

import resource
import statistics
import subprocess
import sys


def interpreter_cpu_ms() -> float:
    """CPU of `python -c pass`, the median of eleven."""
    taken = []
    for _ in range(11):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(1000 * statistics.median(taken), 2)
