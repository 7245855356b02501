"""Models that hear: what they make of audio, how they start, are kept, are asked, and are judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from nemo_core.errors import ConfigError, DataError, UntrustedTargetError
from nemo_core.models import Model
from nemo_llm.megatron import engine
from nemo_llm.megatron.checkpoint import save_model_folder
from nemo_mm.models.loading import loaded
from nemo_mm.models.salm import SpeechLanguageModel
from nemo_mm.models.speech_config import SpeechLanguageConfig

sys.path.insert(0, str(Path(__file__).parent))
import tiny_speech
from tiny_speech import ARCHITECTURE, EACH, MARK, RATE, architecture, saved, tokenizer


class Recogniser(Model):
    """What stands for a model of nemo-asr."""

    def __init__(self, preprocessor: Any, encoder: Any) -> None:
        super().__init__()
        self.preprocessor, self.encoder = preprocessor, encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path)


def test_only_its_own_audio_changes_a_row() -> None:
    with engine(seed=1), torch.no_grad():
        model = tiny_speech.make()
        model.build()
        model.eval()
        whole = tiny_speech.batch(0)
        entries = ("tokens", "audio", "audio_length", "audio_counts")
        expected = model(**{name: whole[name] for name in entries})
        for row in range(4):
            alone = {name: whole[name][row : row + 1] for name in entries}
            torch.testing.assert_close(model(**alone)[0], expected[row], atol=1e-4, rtol=1e-4)
        other = whole["audio"].clone()
        other[2, 1] = 0.1 * torch.randn(other.shape[2])
        found = model(**{**{name: whole[name] for name in entries}, "audio": other})
        changed = (found - expected).abs().amax((1, 2)) > 1e-5
        assert changed.tolist() == [False, False, True] + [False] * 5


def test_a_ctc_loss_wants_transcripts_and_is_kept(tmp_path: Path) -> None:
    with engine(seed=1):
        model = tiny_speech.make_with_ctc()
        model.build()
        batch = model.prepare(tiny_speech.batch(0))
        with pytest.raises(ConfigError, match="do not have what is said") as caught:
            model.media_of(batch)
        assert "data.transcripts=true" in str(caught.value.hint)
        with torch.no_grad():
            media = model.media_of(batch)
        assert media is not None
        assert set(media.values) == {"audio", "audio_length", "audio_counts"}  # none to answer a question
        names = {name for name, _ in model.chunks[0].named_parameters() if ".ctc." in name}
        assert names == {"reader.ctc.linear.weight", "reader.ctc.linear.bias"}
        assert model.config.num_parameters == sum(weight.numel() for weight in model.parameters())
        path = save_model_folder(tmp_path / "model.dist", list(model.chunks), model.config)
        kept: Any = model.chunks[0]
    with loaded(path) as again:
        assert again.config.ctc_weight == 10.0
        torch.testing.assert_close(again.chunks[0].reader.ctc.linear.weight, kept.reader.ctc.linear.weight)
    with pytest.raises(ConfigError, match="ctc_weight is -1"):
        SpeechLanguageModel({**ARCHITECTURE, "ctc_weight": -1.0})


def test_text_alone_needs_no_audio() -> None:
    with engine(seed=1), torch.no_grad():
        model = tiny_speech.make()
        model.build()
        assert model(tokens=torch.tensor([[1, 2, 3]])).shape == (1, 3, 61)
        with pytest.raises(DataError, match=r"places for media, and no audio"):
            model(tokens=torch.tensor([[1, MARK, 3]]))


def test_places_and_embeddings_must_agree() -> None:
    with engine(seed=1), torch.no_grad():
        model = tiny_speech.make()
        model.build()
        audio = {"audio": torch.zeros(1, 1, EACH + 1), "audio_length": torch.tensor([[EACH + 1]])}
        counts = {"audio_counts": torch.tensor([1])}
        assert model(tokens=torch.tensor([[1, MARK, MARK]]), **audio, **counts).shape == (1, 3, 61)
        with pytest.raises(DataError, match=r"has 1 places .* media give 2"):
            model(tokens=torch.tensor([[1, MARK, 3]]), **audio, **counts)


def test_a_folder_answers_as_the_model_did(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(3000)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with loaded(folder) as model:
        assert isinstance(model, SpeechLanguageModel)
        once = model.ask(["what is it", "is it"], [samples, tmp_path / "a.wav"], max_tokens=5)
        again = model.ask(
            ["is it <audio>", [{"role": "user", "content": "what"}]], [samples, [samples] * 2], max_tokens=5
        )
        assert model.transcribe([samples], "what is it", max_tokens=5) == once[:1]
        assert len(again) == 2
        alone = model.ask(["is it"], [samples], max_tokens=5)
        assert alone == once[1:]
        with pytest.raises(DataError, match=r"its texts say <audio> 1 times, and it has 2 recordings"):
            model.ask(["is <audio> it"], [[samples, samples]])
        with pytest.raises(DataError, match=r"there is no such file"):
            model.transcribe([tmp_path / "b.wav"])
    with loaded(folder) as model:
        assert model.ask(["is it"], [samples], max_tokens=5) == alone


def test_it_starts_from_a_language_model_and_an_archive_of_a_recogniser(tmp_path: Path) -> None:
    from nemo_llm.models.language_model import LanguageModel

    config = SpeechLanguageConfig.read(architecture(), tokenizer())
    reader = config.make_reader()
    archive = Recogniser(reader.preprocessor, reader.encoder).save(tmp_path / "asr.nemo")
    with engine(seed=3):
        language = LanguageModel(config.language, tokenizer(), seed=3)
        language.build()
        save_model_folder(tmp_path / "llm.dist", list(language.chunks), language.config, tokenizer=tokenizer())
        expected = {name: weight.clone() for name, weight in language.chunks[0].named_parameters()}
    with engine(seed=1):
        model = SpeechLanguageModel(
            {"media_token": "<audio>", "stack": 4}, tokenizer(), freeze=["reader.encoder"], seed=1
        )
        said = model.init_from({"language": str(tmp_path / "llm.dist"), "reader": str(archive)})
        assert "language model of" in said
        model.build()
        found = dict(model.chunks[0].named_parameters())
        assert all(torch.equal(weight, found[name]) for name, weight in expected.items())
        assert torch.equal(found["reader.encoder.conv.weight"], reader.encoder.conv.weight)
        assert model.config.encoder == config.encoder
        other = architecture(encoder={**ARCHITECTURE["encoder"], "feat_out": 24})
        wrong = SpeechLanguageModel(other, tokenizer())
        wrong.init_from({"reader": str(archive)})
        with pytest.raises(ConfigError, match=r"fit"):
            wrong.build()


def test_a_file_cannot_name_code() -> None:
    config = SpeechLanguageConfig.from_dict({**ARCHITECTURE, "encoder": {"_target_": "os.system", "command": "true"}})
    with pytest.raises(UntrustedTargetError):
        config.make_reader()


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ConfigError, match=r"model.architecture.encoder is not given"):
        SpeechLanguageConfig.from_dict({name: value for name, value in ARCHITECTURE.items() if name != "encoder"})
    with pytest.raises(ConfigError, match=r"answer_tokens is -1"):
        SpeechLanguageModel(ARCHITECTURE, answer_tokens=-1)
