"""How many files a server may have open: as many as it takes connections, or it says how many that are."""

import resource

from prismenv.cli.output import print_error

OTHERS = 512  # beside connections: stores, sandboxes and what is open in them


def make_room(connections: int) -> None:
    """Allow this process as many open files as that takes, as far as it may; where that is not enough, say so."""
    needed = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (ValueError, OSError):  # a system that has a limit of its own below this one
        allowed = soft
    if allowed < needed:
        print_error(
            f"note: {allowed} files may be open here, {needed} are needed for {connections} connections at once; what"
            f" comes beyond about {max(allowed - OTHERS, allowed // 2)} waits. Raise it: ulimit -Hn, or LimitNOFILE= of"
            " systemd"
        )
