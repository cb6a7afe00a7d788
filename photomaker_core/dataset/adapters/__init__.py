"""Networks behind the protocols of :mod:`photomaker_core.dataset.stage_networks`, one module a family."""
