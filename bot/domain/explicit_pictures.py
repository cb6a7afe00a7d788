"""What can be done with an explicit picture. Chosen by moderators for a server, by the operator for direct messages."""

from __future__ import annotations

from typing import Final, Literal, get_args

Treatment = Literal["spoiler", "blur", "refuse"]
"""Show it behind a spoiler, show it blurred, or show and keep nothing of it."""

TREATMENTS: Final[tuple[Treatment, ...]] = get_args(Treatment)


def treatment_in(stored: str | None, *, is_age_restricted: bool) -> Treatment:
    """What a server's rule means in one of its channels; a rule that is not known, or none, is the usual one."""
    if stored in TREATMENTS:
        return stored
    return "spoiler" if is_age_restricted else "refuse"
