"""Names of the version before, which work for one version more and warn."""

import warnings
from importlib import import_module
from typing import Any, Final

RENAMED: Final = {  # old name: new name
    "SteadyStatus": "Status",
    "InferenceStatus": "Status",
    "MasterStatus": "Status",
    "CovarianceStatus": "Status",
    "CueEnd": "CueOutcome",
    "RetrievalEnds": "CueOutcomes",
}
RENAMED_MEMBERS: Final = {  # old name: {old member: new member}
    "SteadyStatus": {"converged": "successful"},
    "InferenceStatus": {"converged": "successful"},
    "CovarianceStatus": {"unique": "successful"},
}


class OldEnumeration:
    """The members of an enumeration under the names that they had."""

    def __init__(self, enumeration: Any, members: dict[str, str]) -> None:
        self._enumeration, self._members = enumeration, members

    def __getattr__(self, name: str) -> Any:
        return getattr(self._enumeration, self._members.get(name, name))

    def __getitem__(self, item: Any) -> Any:
        return self._enumeration[item]


def found(package: str, old: str) -> Any:
    """What is called `old` no longer, with a warning that says how it is called now."""
    new, members = RENAMED[old], RENAMED_MEMBERS.get(old, {})
    told = "".join(f", {old}.{was} is {new}.{now}" for was, now in members.items())
    text = f"{package}.{old} is now {package}.{new}{told}; the old name goes with the next version."
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    thing = getattr(import_module(package), new)
    return OldEnumeration(thing, members) if members else thing
