"""The words by which :mod:`bot.domain.minor_protection` knows minors and what is sexual, in the bot's four languages.

Words are lower-case and without accents. An ending in brackets gives one word for each of its parts: ``nackt(,e,er)``.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    found: set[str] = set()
    for one in text.split():
        stem, _, endings = one.rstrip(")").partition("(")
        found.update(f"{stem}{ending}" for ending in endings.split(","))
    return frozenset(found)


MINORS: Final = _words(
    """
    baby(,s) babies infant(,s) toddler(,s) newborn(,s) tot(s) kid(,s) kiddo(,s) kiddie(,s) kiddy child(,s,ren,rens)
    childlike childhood grandchild(,ren) schoolchild(,ren) schoolkid(,s) schooler(,s) highschool(,er,ers) boy(,s)
    girl(,s) girlie(,s) gurl(,s) grl(,s) boi(,s) schoolboy(,s) schoolgirl(,s) teen(,s) teenie(,s) teeny teenage(,d,r,rs)
    preteen(,s) tween(,s) underage(,d) minor(,s) juvenile(,s) adolescent(,s) adolescence pubescent prepubescent
    prepubertal puberty youth(,s) youngster(,s) loli(,s,ta,tas,con) shota(,s,con) jailbait kindergarten(,er,ers)
    preschool(,er,ers) daughter(,s) stepdaughter(,s) granddaughter(,s) stepson(,s) grandson(,s) niece(,s) nephew(,s)

    kind(,er,es,ern,lich,liche,licher,lichen,haft) kleinkind(,er,ern,es) schulkind(,er,ern) kindchen enkelkind(,er)
    madchen(,s,haft) maedchen(,s,haft) madel(,s) maedel(,s) schulmadchen schulmaedchen junge(,n,ns) jungs schuljunge(,n)
    bub(,en) bubi saugling(,e,s) saeugling(,e,s) schuler(,in,innen,n) schueler(,in,innen,n) tochter toechter
    jugendlich(,e,er,en,em,es) minderjahrig(,e,er,en,em,es) minderjaehrig(,e,er,en,em,es) teenagerin(,nen)
    halbwuchsig(,e,er,en) halbwuechsig(,e,er,en) pubertar pubertat

    nino(,s) nina(,s) ninito(,s) ninita(,s) chico(,s) chica(,s) chiquillo(,s) chiquilla(,s) chiquito(,s) chiquita(,s)
    muchacho(,s) muchacha(,s) bebe(,s) bebita bebito nene(,s) nena(,s) crio(,s) cria(,s) adolescente(,s) menor(,es)
    colegial(,a,as,es) infantil(,es) infante(,s) quinceanera(,s) hija(,s) hijo(,s) hijita hijito escolar(,es)
    """
)

SEXUAL: Final = _words(
    """
    nude(,s) nudity nudist(,s) nudism nudes naked(,ness) nekkid nsfw sex(,y,ier,iest,ual,ually,ualized,ualised,uality)
    porn(,o,os,ographic,ography,star) hentai ecchi ahegao erotic(,a,ally,ism) erotism topless bottomless braless
    pantyless undress(,ed,ing,es) unclothed disrobed disrobing strip(ping,ped,per,tease) lingerie underwear undies
    panties panty
    thong(,s) bra(,s) orgasm(,s,ic) masturbat(e,es,ing,ion) blowjob(,s) handjob(,s) intercourse coitus penetration penis
    penises vagina(,l,s) vulva clitoris labia genital(,s,ia) nipple(,s) areola(,s) breasts boob(,s,ies) tit(s,ties)
    cleavage pussy cock(,s) dick(,s) dildo(,s) vibrator cum(shot,ming,) creampie fetish bdsm bondage seductive(,ly)
    seducing sensual(,ly) lewd(,s) lustful horny aroused arousal slut(,s,ty) whore(,s) milf fuck(,s,ing,ed) rape(,d,s)
    gangbang threesome upskirt deepthroat anal xxx onlyfans playboy rule34

    nackt(,e,er,es,en,em,heit,foto,fotos,bild,bilder) nackig(,e,er,es,en,em) nudistin unbekleidet(,e,er,es,en,em)
    entkleidet(,e,er,es,en) ausgezogen(,e,er,es,en) ausziehen sexuell(,e,er,es,en,em) sexualisiert(,e,er,es,en)
    erotik erotisch(,e,er,es,en,em) unterwasche unterwaesche unterhose(,n) dessous reizwasche schlupfer tanga(,s)
    bruste brueste brusten brust busen titten brustwarze(,n) nippel pornograf(isch,ische,ischer,isches) pornografie
    geil(,e,er,es,en) scheide muschi fotze schamlippen genitalien orgasmus oralverkehr geschlechtsverkehr ficken
    gefickt fickt verfuhrerisch(,e,er,es,en) verfuehrerisch(,e,er,es,en) lustern freizugig(,e,er,es,en) versaut(,e,es)
    obenohne barbusig(,e,er,es,en) oben-ohne

    desnud(o,a,os,as,ez,arse,andose,andola) desvestid(o,a,os,as) desvistiendose encuerad(o,a,os,as) sexo sexual(es)
    sexualmente erotic(o,a,os,as) erotismo pornografic(o,a,os,as) pornografia lenceria pechos teta(,s) tetona(,s)
    pezon(,es) braga(,s) tanga(,s) calzones sujetador senos pene(,s) culo follar follando masturbacion
    masturbandose seductor(,a) sensual(es) provocativa cachonda cachondo puta orgasmo
    """
)

CLOTHES: Final = _words(
    """
    cloth(,es,ing,ed) clothe(,d) dressed shirt(,s) dress(,es) pant(s) trousers jeans shorts skirt(,s) outfit(,s)
    garment(,s) fabric underwear covered covering censor(ed,ship)
    kleid(,er,ung,ungsstucke) bekleidet bekleidung angezogen hose(,n) hemd(,en) unterwasche zensiert zensur
    ropa vestid(o,a,os,as) camisa(,s) pantalon(,es) falda(,s) prenda(,s) censura censurado
    """
)
"""What makes a picture naked where it is asked to be absent."""

ADULTS: Final = _words(
    """
    adult(,s) mature grownup(,s) grown
    erwachsen(,e,er,en) volljahrig(,e,er,en)
    adult(o,a,os,as) mayor(es)
    """
)
"""What makes somebody a minor where it is asked to be absent."""

FILLERS: Final = _words(
    "img little young small tiny cute hot school foto fotos photo bild bilder pic model modell body"
)
"""What stands between other words where they are written as one."""

CHINESE_MINORS: Final = _words(
    """
    男孩 女孩 儿童 兒童 孩子 小孩 孩童 婴儿 嬰兒 宝宝 寶寶 少年 少女 未成年 萝莉 蘿莉 正太 幼女 幼童 幼儿 幼兒 女童 男童
    小朋友 小学生 小學生 初中生 国中生 國中生 中学生 中學生 高中生 女儿 女兒 学童 學童 稚嫩 👶 🧒 👦 👧
    """
)
CHINESE_SEXUAL: Final = _words(
    """
    裸 色情 性感 性交 性爱 性愛 情色 内衣 內衣 内裤 內褲 乳房 乳头 乳頭 做爱 做愛 淫 胸部 阴道 陰道 阴茎 陰莖 脱光 脫光
    脱衣 脫衣 不穿 没穿 沒穿 一丝不挂 一絲不掛 色诱 诱惑 誘惑 黄片 成人片 高潮 自慰 露点 露點 🍆 🔞
    """
)
CHINESE_CLOTHES: Final = _words("衣服 穿着 穿著 衣物 服装 服裝 裤 褲 裙")
CHINESE_ADULTS: Final = _words("成人 成年 大人")

_NUMBER_WORDS: Final = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "ein|eins|zwei|drei|vier|funf|fuenf|sechs|sieben|acht|neun|zehn|elf|zwolf|zwoelf|dreizehn|vierzehn|funfzehn|"
    "fuenfzehn|sechzehn|siebzehn|cero|un|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|trece|catorce|"
    "quince|dieciseis|diecisiete"
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_N: Final = (
    rf"(?<![\w.]){''.join(rf'(?<!{one}[ -])' for one in _TENS)}(?<! y )(?:1[0-7]|[0-9]|{_NUMBER_WORDS})(?![0-9])"
)
_GAP: Final = r"[\s\-_.]*"
MINORS_AGE: Final = re.compile(
    rf"{_N}{_GAP}(?:(?:years?|yrs?){_GAP}(?:olds?\b|young|of{_GAP}age)|y{_GAP}/?o\b|jahrig|jaehrig|"
    rf"jahre?{_GAP}(?:alt|jung)|(?:ano|anito)s?\b)"
    rf"|[0-9]{_GAP}months?{_GAP}old"
    rf"|\b(?:ages?|aged|alter|edad|turn(?:s|ing|ed)?)(?:of|de|von|only|just|is|=|:|\s)*{_N}(?!\w|\.\d)"
    r"|\b(?:under|below|younger than|unter|menos de|menor de|menores de|u)\s?-?1[0-8](?!\w)"
    r"|(?<![\d一二三四五六七八九十百])(?:1[0-7]|[0-9]|十[一二三四五六七]?|[一二两兩三四五六七八九])\s*[岁歲]"
)
"""An age below eighteen; no such number stands within a larger one."""

MINORS_PHRASE: Final = re.compile(
    r"\b(?:my|his|her|our|your|their|the|a) (?:\w+ )?sons?\b"
    r"|\b(?:high|middle|elementary|primary|grade|junior) ?-?school"
    r"|\b(?:school uniforms?|schuluniform|uniforme escolar|little (?:one|ones|sister|brother|princess|sis|bro))\b"
    r"|\b(?:kleine[rs]? (?:schwester|bruder)|hermanit[ao])\b"
)
NAKED_PHRASE: Final = re.compile(
    r"\b(?:wears?|wearing|dressed in|clad in) (?:absolutely )?nothing\b|\bnothing on\b|\bbirthday suit\b"
    r"|\b(?:nichts|nix) an\b|\boben ohne\b|\bim adamskostum\b|\bsin nada puesto\b|\ben (?:cueros|pelotas)\b"
)
WITHOUT: Final = re.compile(
    r"\b(?:without|w/o|no|zero|sans|lacking|minus|remov(?:e|es|ed|ing)|takes? off|taking off|took off|loses?|losing|"
    r"ohne|keine?n?|sin|quitandose|quita)\b(?P<what>(?: \S+){1,3})"
)
"""What is absent, in the three words after."""
