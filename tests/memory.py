"""The most memory a process and those it started have held, in MB.

`getrusage` alone would say more than the truth: what a parent held when it started a program is kept for that program (man 2
getrusage). So this process is asked for its own mark; what its children inherited is then never more than that.
"""

import resource
from pathlib import Path


def peak() -> int:
    """The higher of this process's high-water mark (man 5 proc, VmHWM) and its finished children's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return max(int(line.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024
