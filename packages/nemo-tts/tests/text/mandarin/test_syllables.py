from __future__ import annotations

import pytest

from nemo_core.errors import DataError
from nemo_tts.text.mandarin.syllables import FINALS, INITIALS, split_syllable, syllable_to_ipa

# From the phonology of Mandarin: initial, medial and final; IPA after Lee and Zee (2003, JIPA 33:1).
SYLLABLES = [
    ("zhuang1", "ZH U ANG", "ʈʂwaŋ˥"),
    ("xue2", "X VE", "ɕɥe˧˥"),
    ("yuan2", "Y V AN", "ɥɛn˧˥"),
    ("yu3", "Y V", "y˨˩˦"),
    ("yue4", "Y VE", "ɥe˥˩"),
    ("yun2", "Y VN", "yn˧˥"),
    ("yi1", "Y I", "i˥"),
    ("you3", "Y OU", "jou˨˩˦"),
    ("yang2", "Y ANG", "jaŋ˧˥"),
    ("yan2", "Y AN", "jɛn˧˥"),
    ("ying1", "Y ING", "iŋ˥"),
    ("yong4", "Y ONG", "jʊŋ˥˩"),
    ("wu3", "W U", "u˨˩˦"),
    ("wo3", "W O", "wo˨˩˦"),
    ("wei4", "W EI", "wei˥˩"),
    ("weng1", "W ENG", "wəŋ˥"),
    ("wen2", "W EN", "wən˧˥"),
    ("jiong3", "J I ONG", "tɕjʊŋ˨˩˦"),
    ("lv4", "L V", "ly˥˩"),
    ("nve4", "N VE", "nɥe˥˩"),
    ("quan2", "Q V AN", "tɕʰɥɛn˧˥"),
    ("jun1", "J VN", "tɕyn˥"),
    ("an4", "^ AN", "an˥˩"),
    ("e4", "^ E", "ɤ˥˩"),
    ("er2", "^ ER", "ɚ˧˥"),
    ("shi4", "SH I", "ʂɻ̩˥˩"),
    ("zi5", "Z I", "tsɹ̩"),
    ("ji1", "J I", "tɕi˥"),
    ("liu4", "L IU", "ljou˥˩"),
    ("gui4", "G UI", "kwei˥˩"),
    ("bo1", "B O", "pwo˥"),
    ("huar1", "H U A ER", "xwaɚ˥"),
    ("de5", "D E", "tɤ"),
]


@pytest.mark.parametrize(("syllable", "parts", "ipa"), SYLLABLES)
def test_syllables(syllable, parts, ipa):
    assert " ".join(split_syllable(syllable)) == parts
    assert syllable_to_ipa(syllable) == ipa


@pytest.mark.parametrize("syllable", ["", "5", "zhong", "zhong6", "blah1", "zh1", "x", "hello1"])
def test_what_is_no_syllable_is_said(syllable):
    for convert in (split_syllable, syllable_to_ipa):
        with pytest.raises(DataError, match="no syllable of Mandarin"):
            convert(syllable)


def test_every_reading_of_the_dictionary_is_a_syllable():
    pypinyin = pytest.importorskip("pypinyin", reason="nemo-tts[zh] is not installed")
    from pypinyin.constants import PINYIN_DICT

    seen = set()
    for point in PINYIN_DICT:
        for reading in pypinyin.pinyin(
            chr(point), style=pypinyin.Style.TONE3, heteronym=True, neutral_tone_with_five=True
        )[0]:
            seen.add(reading.replace("ü", "v"))
    assert len(seen) > 1300
    for reading in sorted(seen):
        assert set(split_syllable(reading)) <= {*INITIALS, *FINALS}
        assert syllable_to_ipa(reading)
