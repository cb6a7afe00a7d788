"""Words for people, and words that are none: what a trigger word can stand behind. Called by the prompt's reading."""

from __future__ import annotations

from typing import Final

CLASS_WORDS: Final = (
    "man", "woman", "boy", "girl", "person", "lady", "guy", "gentleman", "child", "kid", "baby", "toddler",
    "teenager", "male", "female", "king", "queen", "prince", "princess", "actor", "actress", "father",
    "mother", "grandfather", "grandmother", "grandpa", "grandma", "dad", "mom", "son", "daughter", "brother",
    "sister", "husband", "wife", "bride", "groom", "student", "teacher", "doctor", "nurse", "soldier",
    "knight", "wizard", "witch", "pirate", "astronaut", "chef", "hero", "superhero",
)  # fmt: skip
"""The class words that nano's vocabulary spells with one token each."""

_IRREGULAR_PLURALS: Final = {
    "man": "men", "woman": "women", "gentleman": "gentlemen", "person": "people", "child": "children",
    "baby": "babies", "lady": "ladies", "wife": "wives", "witch": "witches", "hero": "heroes",
    "superhero": "superheroes", "princess": "princesses", "actress": "actresses",
}  # fmt: skip

_COMPOUNDS: Final = tuple(
    f"{trade}{ending}"
    for trade in (
        "police", "fire", "business", "sales", "fisher", "camera", "crafts", "sports", "noble", "spokes", "chair",
        "clergy", "swords", "horse", "hunts", "post", "mail", "milk", "door", "congress", "service", "stunt", "front",
        "country", "states", "helms", "weather", "anchor", "work", "super", "bat", "spider",
    )
    for ending in ("man", "woman", "men", "women")
)  # fmt: skip

SINGULARS: Final = {
    **{_IRREGULAR_PLURALS.get(word, f"{word}s"): word for word in CLASS_WORDS},
    **{one: f"{one.removesuffix('men')}man" for one in _COMPOUNDS if one.endswith("men")},
    **dict.fromkeys(("folk", "couple"), "person"),
}
"""Lower-case words for several people, each with the word for one of them."""

USUAL_CLASS_WORDS: Final = frozenset(
    {*CLASS_WORDS, *(_IRREGULAR_PLURALS.get(word, f"{word}s") for word in CLASS_WORDS), *_COMPOUNDS}
)
"""Class words, their plurals and compounds, in lower case."""

PERSON_WORDS: Final = USUAL_CLASS_WORDS | frozenset(
    {
        *("cowboy", "cowgirl", "schoolboy", "schoolgirl", "human", "adult", "viking", "sibling", "youngster", "twin"),
        *("ladies", "guys", "folk", "couple", "friend", "boyfriend", "girlfriend", "lad", "lass", "dude", "uncle"),
        *("aunt", "nephew", "niece", "cousin", "monk", "nun", "priest", "samurai", "ninja", "emperor", "empress"),
        *("warrior", "elf", "vampire", "zombie", "cyborg", "detective", "scientist", "artist", "painter", "musician"),
        *("singer", "dancer", "athlete", "boxer", "wrestler", "farmer", "pilot", "sailor", "captain", "waiter"),
        *("waitress", "lawyer", "judge", "engineer", "firefighter", "gardener", "baker", "butcher", "photographer"),
        *("writer", "poet", "professor", "politician", "president", "thief", "spy", "clown", "magician", "duke"),
        *("duchess", "lord", "goddess", "god", "angel", "mermaid", "hacker", "skater", "surfer", "player"),
    }
)  # fmt: skip
"""Lower-case words that name who is in the picture."""

NO_PERSON_WORDS: Final = frozenset(
    {
        *("a", "an", "the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our", "their"),
        *("and", "or", "but", "with", "without", "of", "in", "on", "at", "by", "to", "from", "for", "as", "like"),
        *("into", "onto", "over", "under", "behind", "before", "beside", "between", "near", "through", "during"),
        *("is", "are", "was", "were", "be", "who", "which", "while", "very", "not", "no", "plus", "one", "two"),
        *("photo", "photos", "photograph", "photography", "picture", "pictures", "image", "images", "portrait"),
        *("portraits", "painting", "drawing", "sketch", "illustration", "art", "artwork", "shot", "closeup", "close"),
        *("up", "selfie", "render", "rendering", "poster", "cartoon", "anime", "style", "cinematic", "film", "still"),
        *("handsome", "beautiful", "pretty", "cute", "old", "young", "elderly", "tall", "short", "happy", "sad"),
        *("angry", "strong", "little", "big", "small", "blond", "blonde", "bald", "naked", "dressed", "bearded"),
        *("smiling", "standing", "sitting", "walking", "running", "wearing", "holding", "looking", "laughing"),
        *("riding", "dancing", "playing", "flying", "sleeping", "posing", "reading", "eating", "drinking", "swimming"),
    }
)  # fmt: skip
"""Lower-case words that a trigger word may follow by chance, but that name nobody."""
