"""Networks behind the protocols of :mod:`photomaker_core.dataset.networks`, one module a family."""
