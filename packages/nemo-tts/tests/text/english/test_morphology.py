from __future__ import annotations

import pytest

from nemo_tts.text.english.morphology import derive, with_d, with_s

KNOWN = {
    "vlog": "V L AA1 G", "love": "L AH1 V", "carry": "K AE1 R IY0", "box": "B AA1 K S", "play": "P L EY1",
    "screen": "S K R IY1 N", "reader": "R IY1 D ER0", "happy": "HH AE1 P IY0", "follow": "F AA1 L OW0",
    "want": "W AA1 N T", "tall": "T AO1 L", "hope": "HH OW1 P", "bus": "B AH1 S",
}  # fmt: skip


def lookup(word):
    return tuple(KNOWN[word].split()) if word in KNOWN else None


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("vlogs", "V L AA1 G Z"),
        ("vlog's", "V L AA1 G Z"),
        ("boxes", "B AA1 K S IH0 Z"),
        ("carries", "K AE1 R IY0 Z"),
        ("vlogged", "V L AA1 G D"),
        ("hoped", "HH OW1 P T"),
        ("wanted", "W AA1 N T IH0 D"),
        ("carried", "K AE1 R IY0 D"),
        ("vlogging", "V L AA1 G IH0 NG"),
        ("loving", "L AH1 V IH0 NG"),
        ("playing", "P L EY1 IH0 NG"),
        ("vlogger", "V L AA1 G ER0"),
        ("vloggers", "V L AA1 G ER0 Z"),
        ("tallest", "T AO1 L AH0 S T"),
        ("happily", "HH AE1 P IY0 L IY0"),
        ("hopeless", "HH OW1 P L AH0 S"),
        ("unfollow", "AH0 N F AA1 L OW0"),
        ("unfollowed", "AH0 N F AA1 L OW0 D"),
        ("screenreader", "S K R IY1 N R IY2 D ER0"),
        ("screenreaders", "S K R IY1 N R IY2 D ER0 Z"),
        ("screenreader's", "S K R IY1 N R IY2 D ER0 Z"),
        ("boss", None),
        ("s", None),
        ("'s", None),
        ("ing", None),
        ("xyz", None),
        ("xyz's", None),
        ("", None),
    ],
)
def test_words_made_of_known_words(word, phones):
    found = derive(word, lookup)
    assert (None if found is None else " ".join(found)) == phones


def test_endings_follow_the_last_sound():
    assert [with_s((last,))[-1] for last in ("T", "G", "Z")] == ["S", "Z", "Z"]
    assert [with_d((last,))[-1] for last in ("K", "G", "T")] == ["T", "D", "D"]
