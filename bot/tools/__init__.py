"""The other commands of ``photomaker-bot`` and the latency benchmark."""
