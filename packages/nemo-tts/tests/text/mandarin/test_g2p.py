"""Mandarin sounds, with jieba and pypinyin."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError

pytest.importorskip("pypinyin", reason="nemo-tts[zh] is not installed")
pytest.importorskip("jieba", reason="nemo-tts[zh] is not installed")

from nemo_tts.text import ChineseG2p, G2p
from nemo_tts.text.mandarin.words import split_words

PINYIN = ChineseG2p("pinyin")


@pytest.mark.parametrize(
    ("text", "pinyin"),
    [
        ("你好，世界。", "ni2 hao3 ， shi4 jie4 。"),
        ("银行行长", "yin2 hang2 hang2 zhang3"),
        ("他行走很快", "ta1 xing2 zou3 hen3 kuai4"),
        ("音乐使人快乐", "yin1 yue4 shi3 ren2 kuai4 le4"),
        ("重庆很重要", "chong2 qing4 hen3 zhong4 yao4"),
        ("我们的女儿", "wo3 men5 de5 nv3 er2"),
        ("花儿", "huar1"),
        ("一个", "yi2 ge4"),
        ("不对", "bu2 dui4"),
        ("", ""),
        ("！？", "！ ？"),
        ("🙂", "🙂"),
    ],
)
def test_pinyin(text, pinyin):
    assert " ".join(PINYIN(text)) == pinyin


# The second column is as people say it, after sandhi.
EVERYDAY = """\
银行行长是谁|yin2 hang2 hang2 zhang3 shi4 shui2
他是中国银行的行长|ta1 shi4 zhong1 guo2 yin2 hang2 de5 hang2 zhang3
重庆的银行|chong2 qing4 de5 yin2 hang2
我去图书馆还书|wo3 qu4 tu2 shu1 guan3 huan2 shu1
孩子长大了|hai2 zi5 zhang3 da4 le5
音乐使人快乐|yin1 yue4 shi3 ren2 kuai4 le4
我的行李|wo3 de5 xing2 li3
我了解情况|wo3 liao2 jie3 qing2 kuang4
他得到了奖励|ta1 de2 dao4 le5 jiang3 li4
他跑得很快|ta1 pao3 de5 hen3 kuai4
校长在长江边|xiao4 zhang3 zai4 chang2 jiang1 bian1
我觉得睡觉很重要|wo3 jue2 de5 shui4 jiao4 hen3 zhong4 yao4
太便宜了|tai4 pian2 yi5 le5
因为成为|yin1 wei4 cheng2 wei2
大家都在首都|da4 jia1 dou1 zai4 shou3 du1
角色和角落|jue2 se4 he2 jiao3 luo4
切菜|qie1 cai4
理发和发展|li3 fa4 he2 fa1 zhan3
睡着了|shui4 zhao2 le5
教书的教师|jiao1 shu1 de5 jiao4 shi1
调查和调整|diao4 cha2 he2 tiao2 zheng3
传说和传记|chuan2 shuo1 he2 zhuan4 ji4
空气和有空|kong1 qi4 he2 you3 kong4
干净的干部|gan1 jing4 de5 gan4 bu4
目的地|mu4 di4 di4
中奖|zhong4 jiang3
出差|chu1 chai1
似的|shi4 de5
人参|ren2 shen1
会计|kuai4 ji4
西藏|xi1 zang4
省长|sheng2 zhang3
反省|fan2 xing3
一切都好|yi2 qie4 dou1 hao3
行不行|xing2 bu5 xing2
一会儿|yi2 huir4
好像有点儿难|hao3 xiang4 you2 dianr3 nan2
总统|zong2 tong3
"""


@pytest.mark.parametrize("line", EVERYDAY.splitlines())
def test_everyday_sentences(line):
    text, pinyin = line.split("|")
    assert " ".join(PINYIN(text)) == pinyin


def test_english_among_chinese():
    text = "我用Phone，ok吗"
    assert "".join(ChineseG2p()(text)) == "#W#O#3#Y#ONG#4phone，ok#M#A#5"
    sounds = ChineseG2p(english="phonemes")(text)
    assert "".join(ChineseG2p("pinyin")(text)) == "wo3yong4phone，okma5"
    assert [each for each in sounds if each in ("F", "OW1", "N")] == ["F", "OW1", "N", "OW1"]
    ipa = "".join(ChineseG2p("ipa", english="phonemes")("你好 world"))
    assert ipa == "ni˧˥xau˨˩˦ wˈɝld"


def test_options():
    assert ChineseG2p("pinyin", sandhi=False)("你好") == ["ni3", "hao3"]
    assert ChineseG2p("pinyin", erhua=False)("花儿")[0] == "hua1"
    assert ChineseG2p(phoneme_prefix="", tone_prefix="t")("中") == ["ZH", "ONG", "t1"]
    assert ChineseG2p("ipa")("中") == list("ʈʂʊŋ˥")


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "pinyin.txt"
    path.write_text(";;; comment\nNI\tn i\nHAO\tx au\n", encoding="utf-8")
    g2p = ChineseG2p(phoneme_dict=path)
    assert g2p("你好") == ["#N", "#I", "#2", "#X", "#AU", "#3"]  # NVIDIA's tables are upper-cased unless in IPA
    assert g2p.phoneme_list == ["#AU", "#I", "#N", "#X"]
    assert g2p.artifacts() == {"phoneme_dict": path.read_bytes()}
    with pytest.raises(ConfigError, match="no syllable 'shi'"):
        g2p("是")
    for content, said in ((b"NI n i\n", "line 1"), (b"", "no syllables"), (b"\xff\xff", "cannot be read")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=said):
            ChineseG2p(phoneme_dict=path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"notation": "zhuyin"}, "'zhuyin'"),
        ({"english": "ipa"}, "'ipa'"),
        ({"notation": "ipa", "phoneme_dict": "x"}, "says nothing"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        ChineseG2p(**options)


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet="我你好不一是的了中国人大小老虎儿看，。 aB'5é🙂", max_size=15))
def test_any_text_can_be_read(text):
    g2p = ChineseG2p("pinyin")
    symbols = g2p(text)
    chinese = sum("一" <= character <= "鿿" for character in text)
    syllables = sum(len(symbol) > 1 for symbol in symbols)
    assert syllables <= chinese <= syllables + text.count("儿")
    assert sum(len(word.text) for word in split_words(text)) == len(text)


def test_symbols_cover_what_comes_out():
    text = "我们今天去学校学习汉语，月亮很圆，日出而作。"
    for options in ({}, {"notation": "ipa"}, {"notation": "ipa", "english": "phonemes"}):
        g2p = ChineseG2p(**options)
        assert set(g2p(text)) - set("，。") <= set(g2p.symbols)


def test_long_texts():
    assert len(PINYIN("我们在重庆银行工作了很长时间，" * 600)) > 8000


def test_it_travels_and_is_rebuilt():
    assert isinstance(PINYIN, G2p)
    assert pickle.loads(pickle.dumps(PINYIN))("你好") == ["ni2", "hao3"]
    config = ChineseG2p("ipa", sandhi=False).to_config()
    assert config == {"_target_": "tts.ChineseG2p", "notation": "ipa", "sandhi": False}
    assert instantiate(config, trust=Trust.archive())("你") == list("ni˨˩˦")
