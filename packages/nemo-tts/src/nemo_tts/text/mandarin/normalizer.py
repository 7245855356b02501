"""Chinese text in words: numbers, dates, amounts and signs are written out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from nemo_core.config.configured import Configured
from nemo_tts.text.base import Dropped, Normalized, warn_dropped
from nemo_tts.text.english.characters import fold_accents
from nemo_tts.text.mandarin.numbers import cardinal, digits, number
from nemo_tts.text.mandarin.words import is_chinese

__all__ = ["MandarinNormalizer"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_PUNCTUATION = "，。？！；：、‘’“”（）【】「」《》,.!?-:;/\"'()[]{}"
_NUMBER = r"(?:\d{1,3}(?:,\d{3})++|\d++)(?:\.\d++)?+"
_START = r"(?<![A-Za-z\d.])(?<!\d,)"
_SIGNED = rf"(?:(?<![A-Za-z\d.)])[-−])?{_START}{_NUMBER}|{_START}{_NUMBER}"
_CURRENCIES = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑", "US$": "美元", "HK$": "港元", "RMB": "元"}
_SIGNS = "|".join(re.escape(sign) for sign in sorted(_CURRENCIES, key=len, reverse=True))
_UNITS = {
    **{
        "km/h": "公里每小时",
        "m/s": "米每秒",
        "km2": "平方公里",
        "m2": "平方米",
        "m3": "立方米",
        "km": "公里",
        "cm": "厘米",
    },
    **{
        "mm": "毫米",
        "m": "米",
        "kg": "公斤",
        "mg": "毫克",
        "g": "克",
        "ml": "毫升",
        "mL": "毫升",
        "L": "升",
        "l": "升",
    },
    **{"°C": "摄氏度", "°F": "华氏度", "°": "度", "kW": "千瓦", "W": "瓦", "V": "伏", "kHz": "千赫", "MHz": "兆赫"},
    **{"GHz": "吉赫", "Hz": "赫兹", "dB": "分贝", "kWh": "千瓦时", "min": "分钟", "s": "秒", "h": "小时", "t": "吨"},
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_SCALE = "百|千|万|亿|十万|百万|千万|万亿"
# Before these a single two is 两: they count, where 二 numbers.
_MEASURES = (
    "个只本张位条次天年周件台辆把双对杯瓶碗块片座家种名句段篇首头匹间套层场份颗粒根支枚部艘架顿遍倍米斤公升吨秒岁点"
)
_SYMBOLS = {
    **{"+": "加", "=": "等于", "×": "乘", "÷": "除以", "<": "小于", ">": "大于", "≤": "小于等于", "≥": "大于等于"},
    **{
        "%": "百分号",
        "‰": "千分号",
        "°": "度",
        "&": "和",
        "@": "艾特",
        "#": "井号",
        "$": "美元",
        "€": "欧元",
        "£": "英镑",
        "¥": "元",
    },
    **{
        "~": "到",
        "±": "正负",
        "≈": "约等于",
        "≠": "不等于",
        "√": "根号",
        "π": "派",
        "^": "次方",
        "*": "星",
        "_": "下划线",
    },
}
_REPLACED = str.maketrans(
    {
        **{"\u3000": " ", "\u200b": "", "\ufeff": "", "\u00ad": "", "…": "。", "—": "，", "–": "-", "‐": "-", "‑": "-"},
        **{
            "～": "~",
            "〜": "~",
            "·": " ",
            "・": " ",
            "『": "「",
            "』": "」",
            "〈": "《",
            "〉": "》",
            "﹣": "-",
            "￥": "¥",
        },
        **{"²": "2", "³": "3", "℃": "°C", "℉": "°F", "\t": " ", "\n": " ", "\r": " ", "−": "-", "’": "'", "`": "'"},
    }
)
_ROUNDS = 4


class MandarinNormalizer(Configured):
    """Writes Mandarin text the way it is spoken.

    Numbers, years, dates, times, percentages, money, measures and telephone numbers become Chinese words; full-width
    letters and digits become plain ones; English words stay. What nobody can speak is left out, which :meth:`analyze`
    reports and :meth:`normalize` logs as one warning. A text that has been normalised stays as it is.

    Example:
        >>> normalizer = MandarinNormalizer()
        >>> normalizer.normalize("2021年5月4日，气温25℃，涨了3.5%。")
        '二零二一年五月四日，气温二十五摄氏度，涨了百分之三点五。'
        >>> normalizer.normalize("我有2个苹果，电话13800138000")
        '我有两个苹果，电话幺三八零零幺三八零零零'
    """

    def normalize(self, text: str) -> str:
        """Return ``text`` in words."""
        found = self.analyze(text)
        warn_dropped(found.dropped)
        return found.text

    def analyze(self, text: str) -> Normalized:
        """Return ``text`` in words, and the characters that could not be said."""
        dropped: list[Dropped] = []
        for _ in range(_ROUNDS):
            before = text
            text, lost = _clean(text)
            dropped += lost
            for pattern, spoken in _RULES:
                text = pattern.sub(spoken, text)
            text = _BLANKS.sub(" ", text).strip()
            if text == before:
                break
        return Normalized(text, tuple(dropped))


_KEPT = frozenset(_PUNCTUATION + "".join(_SYMBOLS) + " " + "0123456789")
_BLANKS = re.compile(r"\s+")


def _clean(text: str) -> tuple[str, list[Dropped]]:
    pieces, dropped = [], []
    for position, character in enumerate(unicodedata.normalize("NFC", text)):
        simple = character
        if character not in _PUNCTUATION:
            simple = character.translate(_REPLACED)
            if simple == character and not is_chinese(character):
                simple = fold_accents(unicodedata.normalize("NFKC", character)).translate(_REPLACED)
        kept = "".join(each if _sayable(each) else " " for each in simple)
        if kept != simple:
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            dropped.append(Dropped(character, position, name))
        pieces.append(kept)
    return "".join(pieces), dropped


def _sayable(character: str) -> bool:
    return character in _KEPT or is_chinese(character) or (character.isascii() and character.isalpha())


def _date(match: re.Match[str]) -> str:
    month, day = int(match["month"]), int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{digits(match['year'])}年{cardinal(month)}月{cardinal(day)}日"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match["hour"]), match["minute"], match["second"]
    if hour > 24:
        return match[0]
    words = ("两" if hour == 2 else cardinal(hour)) + "点"
    if minute != "00" or second:
        words += ("零" if minute[0] == "0" and minute != "00" else "") + f"{cardinal(int(minute))}分"
    return words + (f"{cardinal(int(second))}秒" if second else "")


def _money(match: re.Match[str]) -> str:
    return f"{number(match['amount'])}{match['scale'] or ''}{_CURRENCIES[match['sign']]}"


def _counted(match: re.Match[str]) -> str:
    return "两" + match["measure"]


_RULES: list[Rule] = [
    # telephone numbers: mobile ones, with an area code, with that of a country, and service numbers
    (
        re.compile(r"(?<![\dA-Za-z.])(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?![\dA-Za-z])"),
        lambda match: ("加" if match[0][0] == "+" else "") + digits(match[0], one="幺"),
    ),
    (
        re.compile(r"(?<![\dA-Za-z.])(?:0\d{2,3}-\d{7,8}|[48]00-\d{3,4}-\d{3,4})(?![\dA-Za-z])"),
        lambda match: digits(match[0], one="幺"),
    ),
    (re.compile(r"(?<!\d)(?P<year>[12]\d{3})([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?)(?![\d/-])"), _date),
    (re.compile(r"(?<!\d)(?P<year>[12]\d{3})(?=年)"), lambda match: digits(match["year"])),
    (re.compile(r"(?<!\d)0?(\d{1,2})(?=[月日号])"), lambda match: cardinal(int(match[1]))),
    (re.compile(r"(?<![\d:])(?P<hour>\d\d?)[:：](?P<minute>[0-5]\d)(?:[:：](?P<second>[0-5]\d))?(?![\d:])"), _clock),
    # ranges, so that what follows is about one number
    (
        re.compile(rf"{_START}({_NUMBER})(%?) ?[-~] ?(?={_NUMBER}(?!\d|[-/]))"),
        lambda match: f"{'百分之' if match[2] else ''}{number(match[1])}到",
    ),
    (re.compile(rf"({_SIGNED}) ?%"), lambda match: f"百分之{number(match[1])}"),
    (re.compile(rf"({_SIGNED}) ?‰"), lambda match: f"千分之{number(match[1])}"),
    (re.compile(rf"(?P<sign>{_SIGNS}) ?(?P<amount>{_NUMBER})(?P<scale>{_SCALE})?"), _money),
    (
        re.compile(r"(?<![\d./])(?P<top>\d{1,4})/(?P<bottom>\d{1,4})(?![\d./])"),
        lambda match: f"{cardinal(match['bottom'])}分之{cardinal(match['top'])}",
    ),
    (
        re.compile(rf"({_SIGNED}) ?({_UNIT})(?![A-Za-z\d])"),
        lambda match: ("两" if match[1] == "2" else number(match[1])) + _UNITS[match[2]],
    ),
    (re.compile(rf"(?<![\d.第])2(?P<measure>[{_MEASURES}]|小时|分钟)"), _counted),
    (re.compile(r"(?<=\d) ?[×xX*] ?(?=\d)"), lambda match: "乘"),
    (re.compile(r"(?<=\d) - (?=\d)"), lambda match: "减"),
    (re.compile(r"(?<=第)(\d++)"), lambda match: cardinal(match[1])),
    (re.compile(r"(?<![\d.])\d++(?:\.\d++){2,}+"), lambda match: "点".join(map(cardinal, match[0].split(".")))),
    (re.compile(_SIGNED), lambda match: number(match[0])),
    (re.compile(_NUMBER), lambda match: number(match[0])),
    (re.compile("|".join(map(re.escape, _SYMBOLS))), lambda match: _SYMBOLS[match[0]]),
    (re.compile(r"([，。？！；：、,!?;:])\1+"), lambda match: match[1]),
    # Blanks between Chinese characters say nothing.
    (re.compile(r"(?<=[^\x00-\x7f]) +(?=[^\x00-\x7f])"), lambda match: ""),
]
