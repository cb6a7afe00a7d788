"""Refusal of sexual pictures of minors, whatever a server or the operator allows.

Called where a request is admitted and where a prompt is kept. The lists hold English, German, Spanish and Chinese.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from bot.domain.member_text import folded
from photomaker_core.errors import PromptError

_MINORS: Final = frozenset(
    {
        "baby",
        "babies",
        "babys",
        "infant",
        "infants",
        "toddler",
        "toddlers",
        "kid",
        "kids",
        "kiddo",
        "kiddie",
        "kiddies",
        "child",
        "children",
        "childs",
        "childlike",
        "boy",
        "boys",
        "girl",
        "girls",
        "schoolboy",
        "schoolboys",
        "schoolgirl",
        "schoolgirls",
        "teen",
        "teens",
        "teenage",
        "teenaged",
        "teenager",
        "teenagers",
        "preteen",
        "preteens",
        "tween",
        "tweens",
        "underage",
        "underaged",
        "minor",
        "minors",
        "juvenile",
        "juveniles",
        "adolescent",
        "adolescents",
        "loli",
        "lolita",
        "lolicon",
        "shota",
        "shotacon",
        "kindergarten",
        "preschooler",
        "youngster",
        "youngsters",
        "kind",
        "kinder",
        "kindes",
        "kindlich",
        "madchen",
        "maedchen",
        "junge",
        "jungen",
        "bub",
        "buben",
        "saugling",
        "saeugling",
        "kleinkind",
        "kleinkinder",
        "schulmadchen",
        "schulmaedchen",
        "schuljunge",
        "jugendlicher",
        "jugendliche",
        "jugendlichen",
        "minderjahrig",
        "minderjaehrig",
        "minderjahrige",
        "minderjahriger",
        "minderjaehrige",
        "nino",
        "ninos",
        "nina",
        "ninas",
        "chico",
        "chicos",
        "chica",
        "chicas",
        "muchacho",
        "muchachos",
        "muchacha",
        "muchachas",
        "bebe",
        "bebes",
        "adolescente",
        "adolescentes",
        "menor",
        "menores",
        "colegiala",
        "colegialas",
        "colegial",
        "crio",
        "cria",
    }
)
_SEXUAL: Final = frozenset(
    {
        "nude",
        "nudes",
        "nudity",
        "naked",
        "nakedness",
        "nsfw",
        "sex",
        "sexy",
        "sexual",
        "sexually",
        "sexualized",
        "sexualised",
        "porn",
        "porno",
        "pornographic",
        "pornography",
        "hentai",
        "erotic",
        "erotica",
        "erotism",
        "topless",
        "bottomless",
        "undressed",
        "unclothed",
        "undressing",
        "stripping",
        "stripper",
        "striptease",
        "lingerie",
        "underwear",
        "panties",
        "thong",
        "bra",
        "orgasm",
        "masturbating",
        "masturbation",
        "blowjob",
        "handjob",
        "intercourse",
        "penis",
        "vagina",
        "vulva",
        "genitals",
        "genitalia",
        "nipples",
        "nipple",
        "breasts",
        "boobs",
        "tits",
        "pussy",
        "cock",
        "dick",
        "cum",
        "cumshot",
        "fetish",
        "bdsm",
        "bondage",
        "seductive",
        "lewd",
        "horny",
        "aroused",
        "fuck",
        "fucking",
        "fucked",
        "rape",
        "xxx",
        "nackt",
        "nackte",
        "nackter",
        "nacktes",
        "nackten",
        "nacktheit",
        "unbekleidet",
        "sexuell",
        "erotisch",
        "erotische",
        "unterwasche",
        "unterwaesche",
        "dessous",
        "bruste",
        "brueste",
        "busen",
        "brustwarzen",
        "pornografisch",
        "geil",
        "desnudo",
        "desnuda",
        "desnudos",
        "desnudas",
        "desnudez",
        "sexo",
        "erotico",
        "pornografico",
        "lenceria",
        "pechos",
        "tetas",
        "pezones",
        "bragas",
    }
)
_CLOTHES: Final = frozenset(
    {
        "clothes",
        "clothing",
        "clothed",
        "dressed",
        "shirt",
        "dress",
        "pants",
        "trousers",
        "underwear",
        "kleidung",
        "kleider",
        "bekleidet",
        "angezogen",
        "ropa",
        "vestido",
        "vestida",
    }
)
"""What makes a picture naked where the negative prompt asks for its absence."""

_CHINESE_MINORS: Final = (
    "男孩", "女孩", "儿童", "兒童", "孩子", "小孩", "婴儿", "嬰兒", "少年", "少女", "未成年",
    "萝莉", "正太", "幼女", "幼童",
)  # fmt: skip
_CHINESE_SEXUAL: Final = ("裸", "色情", "性感", "性交", "性爱", "情色", "内衣", "內衣", "乳房", "做爱", "淫")
_CHINESE_CLOTHES: Final = ("衣服", "穿着", "衣物")

_AGE: Final = re.compile(
    r"(?<!\d)(?:[0-9]|1[0-7])[\s-]*(?:years?[\s-]*olds?|yrs?[\s-]*olds?|y/?o\b|jahrig|jaehrig|jahre alt|anos?\b|岁|歲)"
    r"|\b(?:aged?|alter|edad)(?: of| de)? (?:[0-9]|1[0-7])(?!\d)"
)
_DIGITS: Final = str.maketrans("013457@$", "oieastas")
_SEPARATORS: Final = re.compile(r"(?<=\w)[._*\-|](?=\w)")
_SPELT_OUT: Final = re.compile(r"(?<!\w)(?:\w ){2,}\w(?!\w)")


def check_minors(prompt: str, negative: str | None = None) -> None:
    """Raise :class:`PromptError` for a prompt that puts a minor and something sexual together.

    ``prompt`` is the text with its style. Spelling with digits for letters, marks, and signs or spaces between letters
    makes no difference.
    """
    forms = _forms(prompt)
    if not (_has(forms, _MINORS, _CHINESE_MINORS) or any(map(_AGE.search, forms))):
        return
    without_clothes = negative is not None and _has(_forms(negative), _CLOTHES, _CHINESE_CLOTHES)
    if without_clothes or _has(forms, _SEXUAL, _CHINESE_SEXUAL):
        raise PromptError("I draw nothing sexual with children or teenagers, nowhere and for nobody.")


def _forms(text: str) -> set[str]:
    """The ways in which a text can be read."""
    marked = unicodedata.normalize("NFD", folded(text))
    plain = "".join(one for one in marked if not unicodedata.combining(one))
    closed = _SPELT_OUT.sub(lambda found: found[0].replace(" ", ""), plain)
    forms = {plain, closed, _SEPARATORS.sub("", closed), _SEPARATORS.sub(" ", plain)}
    return forms | {one.translate(_DIGITS) for one in forms}


def _has(forms: set[str], words: frozenset[str], within: tuple[str, ...]) -> bool:
    return any(not words.isdisjoint(re.findall(r"[^\W_]+", form)) for form in forms) or any(
        one in form for form in forms for one in within
    )
