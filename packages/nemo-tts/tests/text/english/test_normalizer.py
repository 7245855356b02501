"""English in words: a table a kind of thing, and what holds for any text."""

from __future__ import annotations

import logging
import pickle
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError
from nemo_tts.text import EnglishNormalizer, Normalizer

NORMALIZER = EnglishNormalizer()

NUMBERS = [
    ("3 cats", "three cats"),
    ("1,234 dogs", "one thousand two hundred thirty four dogs"),
    ("1000000", "one million"),
    ("-5 degrees", "minus five degrees"),
    ("3.14", "three point one four"),
    (".5", "zero point five"),
    ("0", "zero"),
    ("007", "zero zero seven"),
    ("the 21st and the 102nd", "the twenty first and the one hundred second"),
    (
        "1234567890123456789",
        "one two three four five six seven eight nine zero one two three four five six seven eight nine",
    ),
    ("10-20", "ten to twenty"),
    ("pp. 10–20", "pages ten to twenty"),
    ("1/2 cup", "one half cup"),
    ("3/4", "three quarters"),
    ("3 3/4", "three and three quarters"),
    ("3½", "three and one half"),
    ("22/7", "twenty two sevenths"),
    ("1/200", "one over two hundred"),
    ("2 + 2 = 4", "two plus two equals four"),
    ("3 × 4 ÷ 2", "three times four divided by two"),
    ("2^8", "two to the power of eight"),
    ("5 < 6", "five less than six"),
    ("3x4", "three times four"),
    ("version 2.7.3", "version two point seven point three"),
    ("192.168.1.1", "one hundred ninety two dot one hundred sixty eight dot one dot one"),
    ("No. 5", "number five"),
    ("#1", "number one"),
    ("COVID-19, H2O, MP3", "COVID nineteen, H two O, M P three"),
]
DATES = [
    ("in 1905", "in nineteen oh five"),
    ("1984", "nineteen eighty four"),
    ("2007 and 2021", "two thousand seven and twenty twenty one"),
    ("1900", "nineteen hundred"),
    ("in 1812", "in eighteen twelve"),
    ("the year 1066", "the year ten sixty six"),
    ("500 BC", "five hundred B C"),
    ("the 1990s", "the nineteen nineties"),
    ("the '80s", "the eighties"),
    ("1914-1918", "nineteen fourteen to nineteen eighteen"),
    ("1914–18", "nineteen fourteen to eighteen"),
    ("4 May", "the fourth of May"),
    ("on the 4th of May", "on the fourth of May"),
    ("May 4th 2021", "May fourth, twenty twenty one"),
    ("Dec. 25, 1999", "December twenty fifth, nineteen ninety nine"),
    ("2021-05-04", "May fourth, twenty twenty one"),
    ("5/4/2021", "May fourth, twenty twenty one"),
    ("25/12/2021", "December twenty fifth, twenty twenty one"),
]
TIMES = [
    ("3:30 pm", "three thirty P M"),
    ("15:45", "fifteen forty five"),
    ("3:00", "three o'clock"),
    ("3:05 a.m. sharp", "three oh five A M sharp"),
    ("7pm", "seven P M"),
    ("He came at 5 p.m. She left.", "He came at five P M. She left."),
    ("12:30:15", "twelve thirty and fifteen seconds"),
    ("10:45-11:30", "ten forty five to eleven thirty"),
]
AMOUNTS = [
    ("$3.50", "three dollars and fifty cents"),
    ("$1", "one dollar"),
    ("$0.05", "five cents"),
    ("£1.01", "one pound and one penny"),
    ("£2m", "two million pounds"),
    ("€1.5 billion", "one point five billion euros"),
    ("50¢", "fifty cents"),
    ("-$5", "minus five dollars"),
    ("US$20", "twenty U S dollars"),
    ("¥500", "five hundred yen"),
    ("$5-10", "five to ten dollars"),
    ("It costs $5.", "It costs five dollars."),
    ("50%", "fifty percent"),
    ("20-30%", "twenty to thirty percent"),
    ("5 km", "five kilometers"),
    ("1 km", "one kilometer"),
    ("3.5 GHz", "three point five gigahertz"),
    ("10 mph", "ten miles per hour"),
    ("72 °F", "seventy two degrees Fahrenheit"),
    ("60 km/h", "sixty kilometers per hour"),
    ("5 m²", "five square meters"),
    ("3½ km", "three and one half kilometers"),
    ("1/2 mi", "one half mile"),
    ("6 ft tall", "six feet tall"),
    ("6'2\"", "six feet two inches"),
    ("180 lbs.", "one hundred eighty pounds."),
    ("a 4K TV", "a four K T V"),
]
TELEPHONES = [
    ("(555) 123-4567", "five five five, one two three, four five six seven"),
    ("555-123-4567", "five five five, one two three, four five six seven"),
    ("+1 555 123 4567", "plus one, five five five, one two three, four five six seven"),
    ("call 555-1234 now", "call five five five, one two three four now"),
    ("500-1000 people", "five hundred to one thousand people"),
    ("1-800-555-1234", "one, eight hundred, five five five, one two three four"),
    ("+44 20 7946 0958", "plus four four, two oh, seven nine four six, oh nine five eight"),
]
NAMES = [
    ("Dr. Smith", "Doctor Smith"),
    ("on Mulholland Dr.", "on Mulholland Drive."),
    ("St. Paul", "Saint Paul"),
    ("on Main St. He left", "on Main Street. He left"),
    ("Mr. and Mrs. Jones", "Mister and Missus Jones"),
    ("e.g. this, i.e. that, etc.", "for example this, that is that, et cetera."),
    ("U.S.A. today", "U S A today"),
    ("the USA's CEO", "the U S A's C E O"),
    ("NASA and the FBI", "NASA and the F B I"),
    ("AT&T", "A T and T"),
    ("Henry VIII", "Henry the eighth"),
    ("Louis XIV's court", "Louis the fourteenth's court"),
    ("World War II", "World War two"),
    ("Chapter IV", "Chapter four"),
    ("Part XC", "Part ninety"),
    ("Part V' and Henry V.", "Part V' and Henry the fifth."),
    ("Section C and Part L", "Section C and Part L"),
    ("Henry I think so", "Henry I think so"),
    ("john.doe@example.com", "john dot doe at example dot com"),
    ("see nvidia.com.", "see nvidia dot com."),
    ("https://example.org/a", "H T T P S example dot org slash A"),
    ("and/or", "and or"),
    ("#fun", "hashtag fun"),
    ("Apple Inc. is", "Apple Incorporated is"),
    ("a Ph.D. student", "a P H D student"),
]
CHARACTERS = [
    ("“Hello”… it’s", '"Hello"... it\'s'),
    ("well—fine", "well - fine"),
    ("café naïve Łódź", "cafe naive Lodz"),
    ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
    ("re\u0301sume\u0301", "resume"),
    ("wait!!!", "wait!"),
    ("  many \t blanks\n", "many blanks"),
    ("", ""),
    ("...", "..."),
    ("?!", "?!"),
]


@pytest.mark.parametrize(("text", "words"), [*NUMBERS, *DATES, *TIMES, *AMOUNTS, *TELEPHONES, *NAMES, *CHARACTERS])
def test_text_in_words(text, words):
    assert NORMALIZER.normalize(text) == words


def test_the_order_of_days_and_months_can_be_chosen():
    assert EnglishNormalizer(dates="dmy").normalize("5/4/2021") == "April fifth, twenty twenty one"
    assert EnglishNormalizer(dates="dmy").normalize("5/13/2021") == "May thirteenth, twenty twenty one"
    with pytest.raises(ConfigError, match="'ymd'"):
        EnglishNormalizer(dates="ymd")


@pytest.mark.parametrize(
    ("text", "words", "lost"),
    [
        ("Hello 👋", "Hello", ["WAVING HAND SIGN"]),
        ("א and я", "and", ["HEBREW LETTER ALEF", "CYRILLIC SMALL LETTER YA"]),
        ("*bold* 2*3", "bold two times three", ["ASTERISK", "ASTERISK"]),
        ("_so_ a_b", "so a underscore b", ["LOW LINE", "LOW LINE"]),
        ("中", "", ["CJK UNIFIED IDEOGRAPH-4E2D"]),
        ("\x07", "", ["U+0007"]),
    ],
)
def test_what_cannot_be_spoken_is_reported(text, words, lost, caplog):
    found = NORMALIZER.analyze(text)
    assert (found.text, [each.name for each in found.dropped]) == (words, lost)
    assert all(text[each.position] == each.character for each in found.dropped)
    with caplog.at_level(logging.WARNING):
        NORMALIZER.normalize(text)
    assert len(caplog.records) == 1
    assert lost[0] in caplog.text


def test_what_can_be_spoken_is_not_reported(caplog):
    assert NORMALIZER.analyze("Plain “text” costs $5 – or 3½ €.").dropped == ()
    assert not caplog.records


FRAGMENTS = """
Dr. St. Mr. etc. e.g. U.S.A. A.B. IV X. May 4th 2021 12:30 3:00 pm $5 £2m % 1/2 3½ 10-20 -5 +1 555-123-4567 km °F
No. # * _ ^ ~ & @ a@b.com x.org http:// www. ... — – ' " ( ) , . ; : I V Henry Chapter 1990s 007 é ß 中 👋 ²
"""
PIECES = st.sampled_from(FRAGMENTS.split())


@settings(deadline=None)
@given(st.lists(PIECES, max_size=8), st.sampled_from(["", " "]))
def test_what_is_normalised_stays_as_it_is(pieces, between):
    once = NORMALIZER.analyze(between.join(pieces)).text
    again = NORMALIZER.analyze(once)
    assert again.text == once
    assert again.dropped == ()


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_becomes_letters_and_common_marks(text):
    words = NORMALIZER.analyze(text).text
    assert set(words) <= set(string.ascii_letters + " ,.!?-:;\"'()[]{}")
    assert words == words.strip()
    assert NORMALIZER.analyze(words).text == words


@pytest.mark.parametrize(
    "part", ["1", "a", "a.", "1,", "1-", "$", "a@", "1/2 ", "12:", "http://", "www.", "St. ", "123,456,", "* ", "👋"]
)
def test_ten_thousand_characters_of_anything(part):
    text = (part * 10_000)[:10_000]
    words = NORMALIZER.analyze(text).text
    assert NORMALIZER.analyze(words).text == words


def test_it_travels_and_is_rebuilt():
    normalizer = EnglishNormalizer(dates="dmy")
    assert isinstance(normalizer, Normalizer)
    for again in (
        pickle.loads(pickle.dumps(normalizer)),
        instantiate(normalizer.to_config(), trust=Trust.archive()),
    ):
        assert again.normalize("1/2/2003") == normalizer.normalize("1/2/2003")
    assert normalizer.to_config() == {"_target_": "tts.EnglishNormalizer", "dates": "dmy"}
    assert pickle.loads(pickle.dumps(normalizer)).to_config() == normalizer.to_config()
