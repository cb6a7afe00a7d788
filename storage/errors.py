"""Errors of the storage layer; ``str(error)`` is a sentence for the person who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError


class StorageError(Exception):
    """The database refused: it is read-only, full, locked or damaged, or an entry exists already.

    A sentence with ``values`` is a format string for them. Both are kept, so that a front end can say the same in
    another language.
    """

    def __init__(self, sentence: str, /, **values: object) -> None:
        super().__init__(sentence.format(**values) if values else sentence)
        self.sentence, self.values = sentence, values


class NotFoundError(StorageError):
    """There is no such entry, or it belongs to somebody else."""


class NameTakenError(StorageError):
    """The member has another entry of that name."""


class LimitReachedError(StorageError):
    """The member has as many as they may have, or the photos need more room than is left to them."""


class DuplicatePhotoError(StorageError):
    """The photo belongs to that identity already."""


class DatabaseUnavailableError(StorageError):
    """The database cannot be opened; the sentence is for the operator."""


class DatabaseInUseError(DatabaseUnavailableError):
    """Another process owns the database."""


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the failures that an operator can mend into :class:`StorageError`; others pass through."""
    try:
        yield
    except DBAPIError as error:
        text = str(error.orig).lower()
        for sign, sentence in SENTENCES.items():
            if sign in text:
                raise StorageError(sentence) from error
        raise


SENTENCES = {
    "disk is full": "The bot's disk is full, so nothing was stored. Please tell the server's operator.",
    "readonly database": "The bot's database is read-only, so nothing was stored. Please tell the server's operator.",
    "unable to open database file": "The bot's database cannot be opened. Please tell the server's operator.",
    "database is locked": "The bot's database is busy, so nothing was stored. Please try again in a moment.",
    "malformed": "The bot's database is damaged. Please tell the server's operator.",
    "not a database": "The bot's database is damaged. Please tell the server's operator.",
}
