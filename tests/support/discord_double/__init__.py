"""Discord over real HTTP and websockets, for tests: an aiohttp server that outlives the bots which connect to it."""

from tests.support.discord_double.double import TOKEN, DiscordDouble, connecting_to
from tests.support.discord_double.faults import Fault, Faults, answer, cut, limited, reset, silence, slow
from tests.support.discord_double.world import Channel, Interaction, Message, RefusalError, User, World

__all__ = [
    "TOKEN",
    "Channel",
    "DiscordDouble",
    "Fault",
    "Faults",
    "Interaction",
    "Message",
    "RefusalError",
    "User",
    "World",
    "answer",
    "connecting_to",
    "cut",
    "limited",
    "reset",
    "silence",
    "slow",
]
