"""Errors that a user can cause. Each carries the sentence that the user will read."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend; ``str(error)`` is a friendly sentence that says how.

    A sentence with ``values`` is a format string for them. Both are kept, so that a front end can say the same in
    another language.
    """

    def __init__(self, sentence: str, /, **values: object) -> None:
        super().__init__(sentence.format(**values) if values else sentence)
        self.sentence, self.values = sentence, values


class PromptError(UserError):
    """The prompt cannot be used as it stands."""


class PhotoError(UserError):
    """An uploaded photo cannot be used."""


class SettingsError(UserError):
    """A number or a name among the drawing settings is out of range or unknown."""


class DrawingError(UserError):
    """A picture went wrong while it was drawn, such as by numbers that overflow; other settings may draw it."""


class ModelError(UserError):
    """Model files are missing, broken, or do not fit each other. Read by the bot's operator."""


class MissingFaceEmbedderError(ModelError):
    """A PhotoMaker V2 adapter was loaded without the face embedder it needs."""


class UnfusedLoraError(ModelError):
    """Something needs the adapter's LoRA inside the UNet's weights, and it lies beside them."""
