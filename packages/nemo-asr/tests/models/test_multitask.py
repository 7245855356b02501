"""The attention encoder-decoder with prompts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nemo_asr.data.batch import Utterance, collate_speech
from nemo_asr.data.digits import ConnectedDigits
from nemo_asr.models import CTCModel, MultitaskModel, restore
from nemo_asr.models.multitask import pad_short
from nemo_asr.modules import (
    ConvASREncoder,
    CTCDecoder,
    MelSpectrogram,
    SpecAugment,
    TransformerDecoder,
    TransformerEncoder,
)
from nemo_asr.prompts import Canary2Prompt, CanaryPrompt
from nemo_asr.tokenizers import AggregateTokenizer, CanaryTokenizer, CharTokenizer, SpecialTokens
from nemo_core.cli.main import run
from nemo_core.errors import ConfigError, DataError

LETTERS = " abcdefghijklmnopqrstuvwxyzü"
ENGLISH = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GERMAN = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]


def make_model(prompt=None, timestamps=0, **options) -> MultitaskModel:
    torch.manual_seed(0)
    letters = {"en": CharTokenizer(LETTERS), "de": CharTokenizer(LETTERS)}
    tokenizer = CanaryTokenizer({"spl_tokens": SpecialTokens(["en", "de"], timestamps), **letters})
    blocks = [{"filters": 32, "kernel": 11, "stride": 4, "residual": False}, {"filters": 32, "kernel": 5, "stride": 2}]
    return MultitaskModel(
        preprocessor=MelSpectrogram(8000, features=20, window_size=0.025, n_fft=256, pad_to=0),
        encoder=ConvASREncoder(blocks, feat_in=20),
        decoder=TransformerDecoder(
            len(tokenizer) + 3,
            48,
            num_layers=1,
            inner_size=96,
            num_attention_heads=4,
            max_sequence_length=40,
            pre_ln=True,
        ),
        tokenizer=tokenizer,
        prompt=prompt or CanaryPrompt(),
        transformer_encoder=TransformerEncoder(1, 48, inner_size=48, num_attention_heads=4, pre_ln=True),
        **options,
    )


@pytest.fixture(scope="module")
def model() -> MultitaskModel:
    return make_model(max_generation_delta=5).eval()


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(8000 * seconds)).astype(np.float32)


def batch_of(*items):
    return collate_speech(
        [Utterance(audio, text, f"line {i}", fields) for i, (audio, text, fields) in enumerate(items)]
    )


def test_shapes_and_types(model):
    log_probs = model(audio=torch.randn(2, 8000), length=torch.tensor([8000, 4000]), tokens=torch.randint(9, (2, 7)))
    assert log_probs.shape == (2, 7, model.decoder.vocab_size)
    assert model.projection.weight.shape == (48, 32)
    assert model.frame_stride == 0.08


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="beam_size is 0"):
        make_model(beam_size=0)
    with pytest.raises(ConfigError, match="5 tokens, but the tokenizer"):
        MultitaskModel(
            MelSpectrogram(8000, features=20),
            ConvASREncoder([{"filters": 4, "kernel": 3}], feat_in=20),
            TransformerDecoder(5, hidden_size=4, num_layers=1, inner_size=4),
            CanaryTokenizer({"spl_tokens": SpecialTokens()}),
            CanaryPrompt(),
        )


def test_company_changes_nothing(model):
    alone = model.transcribe(noise(1.0))[0]
    long, again = model.transcribe([noise(2.5, 1), noise(1.0)])
    assert (again.text, again.tokens) == (alone.text, alone.tokens)
    assert again.score == pytest.approx(alone.score, abs=1e-2)
    assert long.duration == 2.5


def test_the_loss_counts_the_answer_alone_if_so_configured():
    batch = batch_of((noise(1.0), "ab", {"pnc": "no"}), (noise(0.5, 1), "cde", {}))
    whole, answers = make_model().eval(), make_model(use_loss_mask_for_prompt=True).eval()
    prompt, answer = whole._examples(batch)[0]
    assert len(prompt) == 5
    assert len(answer) == 3
    losses = [model.loss_on(batch) for model in (whole, answers)]
    assert losses[0] != losses[1]
    encoded, length = answers.encode(batch.audio, batch.length)
    total, count = torch.tensor(0.0), 0
    for row, (prompt, answer) in enumerate(answers._examples(batch)):
        tokens = torch.tensor([[*prompt, *answer]])
        hidden = answers.decoder(tokens=tokens[:, :-1], encoded=encoded[row : row + 1], length=length[row : row + 1])
        right = answers.classifier(hidden=hidden)[0].gather(1, tokens[0, 1:, None])[len(prompt) - 1 :]
        total, count = total - right.sum(), count + len(right)
    torch.testing.assert_close(losses[1], total / count)


def test_mistakes_in_a_batch_name_the_line(model):
    with pytest.raises(DataError, match=r"line 1: there|line 1: the tokenizer has no special token <\|fr\|>"):
        model.loss_on(batch_of((noise(0.5), "a", {}), (noise(0.5), "b", {"target_lang": "fr"})))
    with pytest.raises(DataError, match="line 0: 'é'"):
        model.loss_on(batch_of((noise(0.5), "é", {})))


def test_what_cannot_be_asked_for_is_refused(model):
    with pytest.raises(ConfigError, match="no field 'targt_lang'"):
        model.transcribe(noise(0.5), targt_lang="de")
    with pytest.raises(ConfigError, match="CanaryPrompt cannot ask for times"):
        model.transcribe(noise(0.5), timestamps=True)


def test_a_line_with_a_bad_prompt_costs_that_line_only(model, wav, tmp_path):
    lines = [{"audio_filepath": str(wav("a.wav")), "target_lang": lang} for lang in ("fr", "de")]
    manifest = tmp_path / "test.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    bad, good = model.transcribe(manifest)
    assert "<|fr|>" in bad.error.message
    assert good.error is None


def test_short_audio_gets_silence_on_both_sides():
    audio, length = pad_short(torch.ones(2, 4), torch.tensor([4, 1]), shortest=7)
    assert audio.tolist() == [[0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0, 0]]
    assert length.tolist() == [7, 7]
    model = make_model(max_generation_delta=5, min_duration=1.0).eval()
    short = noise(0.5)
    padded = np.pad(short, 2000)
    assert model.transcribe(short)[0].tokens == model.transcribe(padded)[0].tokens
    assert model.transcribe(np.zeros(0, np.float32))[0].duration == 0


def test_times_are_read_from_the_answer():
    model = make_model(Canary2Prompt(), timestamps=20).eval()
    answer = "<|2|>no<|5|><|7|>way<|9|>"
    tokens = model.tokenizer.encode_parts([answer], lang="en")
    forced = iter([*tokens, model.tokenizer.end])
    model.classifier.forward = lambda hidden: (
        torch.nn.functional.one_hot(torch.tensor([[next(forced)]]), model.decoder.vocab_size).float().log()
    )
    (hypothesis,) = model.transcribe(noise(1.0), timestamps=True)
    assert hypothesis.text == "no way"
    assert [(word.text, word.start, word.end) for word in hypothesis.words] == [("no", 0.16, 0.4), ("way", 0.56, 0.72)]


def test_saving_and_restoring(model, tmp_path):
    path = model.save(tmp_path / "model.nemo")
    again = restore(path)
    assert isinstance(again, MultitaskModel)
    assert again.classifier.output.weight is again.decoder.embedding.token_embedding.weight
    assert again.to_config() == model.to_config()
    assert again.transcribe(noise(1.0), pnc="no")[0].text == model.transcribe(noise(1.0), pnc="no")[0].text


def test_a_few_steps_learn_what_prompts_ask_for(tmp_path, capsys):
    """Digits are transcribed or translated, as the prompt says."""
    digits = ConnectedDigits("test", size=2, min_digits=2, max_digits=3)
    items = []
    for index in range(len(digits)):
        said = digits[index]
        items.append((said.audio, said.text, {"target_lang": "en"}))
        german = " ".join(GERMAN[ENGLISH.index(word)] for word in said.text.split())
        items.append((said.audio, german, {"target_lang": "de", "task": "translate"}))
    model = make_model(spec_augment=SpecAugment()).train()
    batch = batch_of(*items)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss_on(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    audios = [audio for audio, _, fields in items if fields["target_lang"] == "en"]
    heard = {
        "en": model.transcribe(audios),
        "de": model.transcribe(audios, target_lang="de", task="translate"),
    }
    for lang, hypotheses in heard.items():
        expected = [text for _, text, fields in items if fields["target_lang"] == lang]
        assert [hypothesis.text for hypothesis in hypotheses] == expected

    import soundfile as sf

    archive = model.eval().save(tmp_path / "model.nemo")
    sf.write(tmp_path / "a.wav", audios[0], 8000, subtype="FLOAT")
    told = ["--prompt", "target_lang=de", "--prompt", "task=translate"]
    assert run(["transcribe", str(archive), str(tmp_path / "a.wav"), *told, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transcripts"][0]["pred_text"] == items[1][1]
    assert run(["transcribe", str(archive), str(tmp_path / "a.wav"), "--prompt", "de"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err


def test_other_models_take_no_prompt_but_the_language_of_a_text():
    tokenizer = AggregateTokenizer({"en": CharTokenizer("abc"), "de": CharTokenizer("abc")})
    model = CTCModel(
        MelSpectrogram(8000, features=20),
        ConvASREncoder([{"filters": 4, "kernel": 3}], feat_in=20),
        CTCDecoder(4, vocabulary=6),
        tokenizer,
    ).eval()
    with pytest.raises(ConfigError, match="CTCModel takes no prompt"):
        model.transcribe(noise(0.5), prompt={"pnc": "no"})
    tokens, length = model.encode_texts(batch_of((noise(0.1), "ab", {"lang": "de"}), (noise(0.1), "c", {"lang": "en"})))
    assert tokens.tolist() == [[3, 4], [2, 0]]
    assert length.tolist() == [2, 1]
    with pytest.raises(DataError, match="line 0: the language of 'ab' is not known"):
        model.loss_on(batch_of((noise(0.1), "ab", {})))


def test_nvidias_canary(nvidia):
    """Features, encoder, decoder and transcript of an archive of NVIDIA's."""
    folder = nvidia / "canary_aed"
    model = restore(folder / "canary_aed.nemo").eval()
    expected = {name: torch.from_numpy(value) for name, value in np.load(folder / "expected.npz").items()}
    audio, length = expected["audio"], expected["audio_len"]
    with torch.no_grad():
        features, _ = model.preprocessor(audio=audio, length=length)
        encoded, frames = model.encode(audio, length)
        log_probs = model(audio=audio, length=length, tokens=expected["tokens"])
    inside = expected["enc_mask"].unsqueeze(-1)
    assert frames.tolist() == expected["encoded_len"].tolist()
    for found, name in (
        (features, "features"),
        (encoded.transpose(1, 2) * inside, "enc_states"),
        (log_probs, "transf_log_probs"),
    ):
        right = expected[name] * inside if name == "enc_states" else expected[name]
        assert (found - right).abs().max() <= 1e-4 * right.abs().max(), name
    transcript = json.loads((folder / "expected.json").read_text())["transcript"]
    assert [each.text for each in model.transcribe(nvidia / "sample.wav")] == transcript
