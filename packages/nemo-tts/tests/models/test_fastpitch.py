from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_support import MEL, SIZES, make_batch, make_fastpitch

from nemo_core.audio import MelSpectrogram
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ArchiveError, ConfigError, DataError, ExportError, NeuralTypeError
from nemo_core.models import export
from nemo_tts.export import nvidia as nvidia_words
from nemo_tts.models import FastPitch, GriffinLim, check_pair, restore
from nemo_tts.modules import FFTransformerEncoder
from nemo_tts.tokenizers import EnglishCharsTokenizer

MODEL = make_fastpitch()


def test_nvidias_archive_gives_nvidias_outputs(nvidia):
    model = restore(nvidia / "fastpitch" / "fastpitch.nemo")
    assert isinstance(model, FastPitch)
    assert model.load_report.complete
    assert model.encoder.word_emb.num_embeddings == 45
    assert model.encoder.padding == 43
    expected = np.load(nvidia / "fastpitch" / "expected.npz")
    made = model.generate(torch.from_numpy(expected["tokens"]))
    assert made.length.tolist() == expected["num_frames"].tolist()
    for found, name in (
        (made.spectrogram, "spect"),
        (made.spectrogram, "generated"),
        (made.durations, "durs_predicted"),
        (made.log_durations, "log_durs_predicted"),
        (made.pitch, "pitch_predicted"),
    ):
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=1e-5, atol=1e-5)


def test_a_restored_model_of_nvidias_can_be_kept_as_ours(nvidia, tmp_path):
    model = restore(nvidia / "fastpitch" / "fastpitch.nemo")
    model.save(tmp_path / "ours.nemo")
    again = restore(tmp_path / "ours.nemo")
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    assert torch.equal(model.generate(tokens).spectrogram, again.generate(tokens).spectrogram)


def test_without_a_tokenizer_there_is_no_archive_for_nvidia_nemo(tmp_path):
    with pytest.raises(ExportError, match="no tokenizer"):
        export(MODEL, tmp_path / "nvidia.nemo", "nvidia-nemo")


def test_what_is_said_in_nvidias_words_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(nvidia_words, "_tokenizer", lambda tokenizer, files: {"_target_": "letters"})
    model = make_fastpitch(n_speakers=2, condition_types=["add"])
    export(model, tmp_path / "nvidia.nemo", "nvidia-nemo")
    again = restore(tmp_path / "nvidia.nemo")
    assert again.load_report.complete
    assert again.encoder.padding == 18  # of 20 tokens, the last but one
    tokens = torch.tensor([[1, 2, 3]])
    for name, wanted in model.generate(tokens, speaker=1)._asdict().items():
        assert torch.equal(getattr(again.generate(tokens, speaker=1), name), wanted), name


@pytest.mark.parametrize("style", [False, True])
def test_voices_may_be_in_a_speaker_encoder(style, caplog):
    """As NVIDIA's archives for adapters have them: ``speaker_encoder.lookup_module.table``."""
    model = make_fastpitch(
        n_speakers=3, condition_types=["add"], tokenizer=EnglishCharsTokenizer(), encoder=letters(["add"])
    )
    theirs = nvidia_words.fastpitch_model(model)
    weights = dict(theirs.weights)
    weights["fastpitch.speaker_encoder.lookup_module.table.weight"] = weights.pop("fastpitch.speaker_emb.weight")
    table = {"_target_": "nemo.collections.tts.modules.submodules.SpeakerLookupTable", "n_speakers": 3}
    config = {**theirs.config, "n_speakers": 1, "speaker_encoder": {"lookup_module": {**table, "embedding_dim": 16}}}
    if style:
        config["speaker_encoder"]["gst_module"] = {"gst_size": 16}
        weights["fastpitch.speaker_encoder.gst_module.style_attention.tokens"] = torch.zeros(10, 4)
    again = instantiate(FastPitch.from_nvidia(config, {}), trust=Trust.archive()).eval()
    again.load_state_dict(again.nvidia_weights(weights))
    assert again.n_speakers == 3
    assert ("style tokens" in caplog.text) == style
    tokens = torch.tensor([[1, 2, 3]])
    for speaker in range(3):
        wanted = model.generate(tokens, speaker=speaker).spectrogram
        assert torch.equal(again.generate(tokens, speaker=speaker).spectrogram, wanted)


@pytest.mark.parametrize("section", [{"gst_module": {"gst_size": 4}}, {"precomputed_embedding_dim": 4}])
def test_voices_that_only_a_recording_tells_are_refused(section):
    config = nvidia_words.fastpitch_model(make_fastpitch(tokenizer=EnglishCharsTokenizer(), encoder=letters())).config
    with pytest.raises(ArchiveError, match="a recording or a vector"):
        FastPitch.from_nvidia({**config, "speaker_encoder": section}, {})


def letters(condition=()):
    tokenizer = EnglishCharsTokenizer()
    sizes = {**SIZES, "condition_types": condition}
    return FFTransformerEncoder(n_embed=len(tokenizer), padding_idx=tokenizer.pad, **sizes)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 1000), st.integers(0, 3))
def test_padding_and_company_change_nothing(counts, seed, more):
    tokens = make_batch(counts, counts, seed).tokens
    tokens = torch.nn.functional.pad(tokens, (0, more), value=19)
    together = MODEL.generate(tokens, torch.tensor(counts))
    for row, count in enumerate(counts):
        alone = MODEL.generate(tokens[row, :count])
        frames = int(alone.length)
        assert together.length[row] == frames
        torch.testing.assert_close(together.spectrogram[row, :, :frames], alone.spectrogram[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(together.pitch[row, :count], alone.pitch[0], rtol=1e-4, atol=1e-4)
        assert (together.spectrogram[row, :, frames:] == 0).all()


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=3), st.integers(0, 1000))
def test_losses_do_not_depend_on_padding(counts, seed):
    frames = [3 * count for count in counts]
    batch = make_batch(counts, frames, seed)
    longer = batch._replace(
        tokens=torch.nn.functional.pad(batch.tokens, (0, 2), value=19),
        audio=torch.nn.functional.pad(batch.audio, (0, 640)),
        pitch=torch.nn.functional.pad(batch.pitch, (0, 10)),
        energy=torch.nn.functional.pad(batch.energy, (0, 10)),
    )
    with torch.no_grad():
        loss, parts = MODEL.losses(batch)
        again, others = MODEL.losses(longer)
    assert set(parts) == {"mel", "duration", "pitch", "energy", "forward_sum", "binarization"}
    for name, part in parts.items():
        torch.testing.assert_close(part, others[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, again, rtol=1e-4, atol=1e-4)


def test_a_few_steps_learn_a_batch():
    fastpitch = make_fastpitch()
    batch = make_batch([5, 3], [20, 11])
    fastpitch.bin_loss_warmup_epochs = 0
    optimizer = torch.optim.AdamW(fastpitch.train().parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss, _ = fastpitch.losses(batch)
        optimizer.zero_grad()
        loss.backward()
        assert all(weight.grad is not None for weight in fastpitch.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_durations_that_are_known_need_no_aligner():
    model = make_fastpitch(aligner=None, energy_predictor=None)
    batch = make_batch([3, 2], [6, 6])
    with pytest.raises(DataError, match="no durations"):
        model.losses(batch)
    known = batch._replace(durations=torch.tensor([[1, 2, 3], [2, 4, 0]]), pitch=torch.randn(2, 3))
    _, parts = model.losses(known)
    assert set(parts) == {"mel", "duration", "pitch"}


def test_the_voice_is_chosen_and_changes_what_is_said():
    model = make_fastpitch(n_speakers=3, condition_types=["add"])
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    first = model.generate(tokens, speaker=0).spectrogram
    both = model.generate(tokens, speaker=torch.tensor([0, 2]))
    frames = int(both.length[0])
    torch.testing.assert_close(first[0, :, :frames], both.spectrogram[0, :, :frames], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model.generate(tokens, speaker=2).pitch, model.generate(tokens, speaker=0).pitch)
    with pytest.raises(ConfigError, match="3 voices"):
        model.generate(tokens)
    with pytest.raises(DataError, match="below 3"):
        model.generate(tokens, speaker=3)
    with pytest.raises(ConfigError, match="one voice"):
        MODEL.generate(tokens, speaker=1)


def test_pace_pitch_energy_and_durations_are_in_hand():
    tokens = torch.tensor([[1, 2, 3]])
    durations = torch.tensor([[4.0, 6.0, 2.0]])
    assert MODEL.generate(tokens, durations=durations).length.item() == 12
    assert MODEL.generate(tokens, durations=durations, pace=2.0).length.item() == 6
    slower = torch.tensor([[1.0, 1.0, 0.5]])
    assert MODEL.generate(tokens, durations=durations, pace=slower).length.item() == 14
    octave = MODEL.generate(tokens, pitch_shift=12.0)
    plain = MODEL.generate(tokens)
    hertz = [made.pitch * 50 + 200 for made in (plain, octave)]
    torch.testing.assert_close(hertz[1], 2 * hertz[0])
    flat = MODEL.generate(tokens, pitch_transform=lambda pitch: 0 * pitch)
    assert (flat.pitch == 0).all()
    assert not torch.equal(flat.spectrogram, plain.spectrogram[:, :, : flat.spectrogram.shape[2]])
    loud = MODEL.generate(tokens, energy=torch.tensor([[5.0, 5.0, 5.0]]), durations=durations)
    assert not torch.equal(loud.spectrogram, MODEL.generate(tokens, durations=durations).spectrogram)


def test_bad_input_is_refused_with_what_is_wrong():
    with pytest.raises(DataError, match="from 0 to 19"):
        MODEL.generate(torch.tensor([[1, 20]]))
    with pytest.raises(DataError, match="from 0 to 19"):
        MODEL.generate(torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(DataError, match="lengths"):
        MODEL.generate(torch.tensor([[1, 2]]), torch.tensor([3]))
    with pytest.raises(DataError, match="pitch is of shape"):
        MODEL.generate(torch.tensor([[1, 2]]), pitch=torch.zeros(1, 3))
    with pytest.raises(DataError, match="pace"):
        MODEL.generate(torch.tensor([[1, 2]]), pace=0.0)
    with pytest.raises(ConfigError, match="normalises"):
        make_fastpitch(preprocessor=MelSpectrogram(8000, features=12))


def test_silence_for_no_frames_is_one_frame():
    made = MODEL.generate(torch.tensor([[1, 2]]), durations=torch.zeros(1, 2))
    assert made.length.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("sample_rate", 16000), ("features", 20), ("n_window_stride", 32), ("highfreq", 3000.0), ("log", False)],
)
def test_a_vocoder_for_other_spectrograms_is_refused_by_its_type(name, value):
    check_pair(MODEL, GriffinLim(MelSpectrogram(**MEL)))
    other = GriffinLim(MelSpectrogram(**{**MEL, name: value}))
    with pytest.raises(NeuralTypeError, match="does not fit"):
        check_pair(MODEL, other)


def test_a_recording_is_aligned_with_its_tokens():
    model = make_fastpitch()
    audio = torch.sin(torch.arange(64 * 20) / 4)
    found = model.align(audio, torch.tensor([3, 1, 4, 1, 5]))
    assert found.attention.shape == (20, 5)
    torch.testing.assert_close(found.attention.sum(1), torch.ones(20))
    assert found.path[0] == 0
    assert found.path[-1] == 4
    assert set(found.path.diff().tolist()) <= {0, 1}
    assert 0 < found.on_path <= 1
    with pytest.raises(DataError, match="20 frames for 25 tokens"):
        model.align(audio, torch.arange(25) % 19)
    with pytest.raises(ConfigError, match="has no aligner"):
        make_fastpitch(aligner=None).align(audio, torch.tensor([1]))
