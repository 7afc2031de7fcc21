"""What every simulated role plays with."""

from dataclasses import dataclass

from prismenv.simulated.bank import Bank
from prismenv.simulated.lookup import Lookup
from prismenv.simulated.profiles import Profile


@dataclass(frozen=True, slots=True)
class Stage:
    """One simulated model: how able it is, what it knows, and how it recognises it."""

    profile: Profile
    bank: Bank
    lookup: Lookup
