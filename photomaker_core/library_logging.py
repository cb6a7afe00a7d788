"""Keeps the libraries' notices and progress bars out of our commands' output. Called by the two CLIs."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Call before anything else imports diffusers or transformers: they log while they are imported, too."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="diffusers")
    # diffusers imports torchao where it is installed; huggingface_hub counts its retries aloud.
    for name in ("torchao", "torch.utils._pytree", "huggingface_hub.utils._http"):
        logging.getLogger(name).setLevel(logging.ERROR)

    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
