"""Models in NVIDIA's words. That NVIDIA NeMo itself reads them is tested in integration-tests/nvidia."""

from __future__ import annotations

import pytest
import torch

import nemo_asr
from nemo_asr.export.nvidia_tokenizers import special_tokens_model, tokenizer_sections
from nemo_asr.losses import AngularSoftmaxLoss, MultiblankRNNTLoss, RNNTLoss, TDTLoss
from nemo_asr.models import (
    ClassificationModel,
    CTCModel,
    HybridModel,
    MultitaskModel,
    SpeakerModel,
    SpeechRecognizer,
    TransducerModel,
)
from nemo_asr.modules import (
    MFCC,
    ConformerEncoder,
    ConvASREncoder,
    ConvClassifier,
    CropOrPad,
    CTCDecoder,
    HATJoint,
    KaldiFbank,
    LSTMEncoder,
    LSTMPredictor,
    MelSpectrogram,
    RNNTJoint,
    SpeakerDecoder,
    SqueezeformerEncoder,
    StatelessPredictor,
    TransformerDecoder,
    TransformerEncoder,
)
from nemo_asr.prompts import Canary2Prompt, CanaryPrompt
from nemo_asr.tokenizers import (
    AggregateTokenizer,
    CanaryBPETokenizer,
    CanaryTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    SpecialTokens,
    WordPieceTokenizer,
    train_sentence_piece,
)
from nemo_core.errors import ExportError
from nemo_core.models import Archive, export
from nemo_core.models.weights import read_checkpoint

BLOCKS = [{"filters": 12, "kernel": 11, "stride": 2, "se": True}, {"filters": 12, "kernel": [5], "separable": True}]
AUDIO = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
LENGTH = torch.tensor([8000, 5000])


def ctc(encoder=None, tokenizer=None, preprocessor=None):
    torch.manual_seed(0)
    tokenizer = tokenizer or CharTokenizer(" abc", unknown="skip")
    encoder = encoder or ConvASREncoder(BLOCKS, feat_in=20)
    return CTCModel(
        preprocessor or MelSpectrogram(8000, features=20),
        encoder,
        CTCDecoder(encoder.feat_out, vocabulary=len(tokenizer)),
        tokenizer,
    ).eval()


def classifier(preprocessor=None, pool_padding=True, **options):
    torch.manual_seed(0)
    return ClassificationModel(
        preprocessor or MFCC(8000, n_mels=20, n_mfcc=20),
        ConvASREncoder(BLOCKS, feat_in=20),
        ConvClassifier(12, 2, pool_padding=pool_padding),
        ["yes", "no"],
        **options,
    ).eval()


def speaker(**options):
    torch.manual_seed(0)
    decoder = SpeakerDecoder(12, 3, **{"emb_sizes": 8, "angular": "loss" in options, **options.pop("decoder", {})})
    return SpeakerModel(
        MelSpectrogram(8000, features=20), ConvASREncoder(BLOCKS, feat_in=20), decoder, ["x", "y", "z"], **options
    ).eval()


def transducer(loss, predictor=None, joint=RNNTJoint, extra=0, kind=TransducerModel, **options):
    torch.manual_seed(0)
    return kind(
        preprocessor=MelSpectrogram(8000, features=20),
        encoder=ConvASREncoder(BLOCKS, feat_in=20),
        predictor=predictor or LSTMPredictor({"pred_hidden": 8, "dropout": 0.1}, vocab_size=4),
        joint=joint({"encoder_hidden": 12, "pred_hidden": 8, "joint_hidden": 10}, 4, num_extra_outputs=extra),
        tokenizer=CharTokenizer(" abc", unknown="skip"),
        loss=loss,
        **options,
    ).eval()


def hybrid(**options):
    return transducer(TDTLoss(4, [0, 1]), extra=2, kind=HybridModel, ctc_decoder=CTCDecoder(12, 4), **options)


def subwords(tmp_path):
    path = tmp_path / "any.model"
    path.write_bytes(train_sentence_piece(["one two", "two three"], vocab_size=14))
    return SentencePieceTokenizer(path)


def conformer(**options):
    return ConformerEncoder(20, n_layers=2, d_model=16, n_heads=2, conv_kernel_size=9, **options)


def written(path):
    with Archive(path) as archive:
        return {k: v.clone() for k, v in read_checkpoint(archive.view(archive.weights), "here").items()}


def outputs(model):
    more = {"tokens": torch.arange(12).view(2, 6)} if isinstance(model, MultitaskModel) else {}
    with torch.no_grad():
        found = model(audio=AUDIO, length=LENGTH, **more)
    return found if isinstance(found, tuple) else (found,)


def assert_alike(model, again):
    assert type(again) is type(model)
    state = again.state_dict()
    assert all(torch.equal(state.pop(name), weight) for name, weight in model.state_dict().items())
    assert not state
    for ours, theirs in zip(outputs(model), outputs(again), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "name",
    [
        "canary_aed",
        "citrinet_ctc_bpe",
        "conformer_ctc_bpe",
        "fastconformer_ctc_bpe",
        "fastconformer_ctc_bpe_streaming",
        "fastconformer_hybrid_tdt_ctc_bpe",
        "fastconformer_rnnt_bpe",
        "matchboxnet_3x1x64",
        "quartznet_ctc",
        "titanet_small",
    ],
)
def test_what_came_from_nvidia_goes_back(nvidia, tmp_path, name):
    original = nvidia / name / f"{name}.nemo"
    model = nemo_asr.restore(original)
    path = export(model, tmp_path / "back.nemo", "nvidia-nemo")
    before, after = written(original), written(path)
    assert before.keys() == after.keys()
    for key, weight in before.items():
        if key.startswith("preprocessor."):
            torch.testing.assert_close(after[key], weight, rtol=1e-5, atol=1e-7)  # computed in another order
        else:
            assert torch.equal(after[key], weight)
            assert after[key].dtype == weight.dtype
    with Archive(original) as old, Archive(path) as new:
        assert old.target == new.target
        theirs, ours = (archive.config["encoder"] for archive in (old, new))
        assert {key: ours[key] for key in theirs if key in ours and key != "jasper"}.items() <= theirs.items()
    again = nemo_asr.restore(path)
    assert_alike(model, again)
    if isinstance(model, SpeechRecognizer):
        assert again.tokenizer.vocabulary == model.tokenizer.vocabulary
    else:
        assert again.labels == model.labels


MODELS = {
    "conv": lambda: ctc(),
    "squeezeformer": lambda: ctc(SqueezeformerEncoder(20, n_layers=3, d_model=8, time_reduce_idx=1)),
    "lstm": lambda: ctc(LSTMEncoder(20, n_layers=1, d_model=8, proj_size=6)),
    "bare": lambda: ctc(ConvASREncoder([{**BLOCKS[0], "residual_mode": "max"}, *BLOCKS[1:]], 20, conv_mask=False)),
    "tied": lambda: ctc(conformer(untie_biases=False, subsampling="dw_striding", subsampling_factor=8)),
    "absolute": lambda: ctc(conformer(self_attention_model="abs_pos", subsampling="stacking_norm")),
    "local": lambda: ctc(conformer(self_attention_model="rel_pos_local_attn", att_context_size=[8, 8])),
    "features": lambda: ctc(preprocessor=MelSpectrogram(8000, features=20, window=None, normalize="NA", pad_to=0)),
    "rnnt": lambda: transducer(RNNTLoss(4, fastemit_lambda=0.01), max_symbols=5),
    "stateless": lambda: transducer(RNNTLoss(4), StatelessPredictor({"pred_hidden": 8}, 4, context_size=2)),
    "hat": lambda: transducer(RNNTLoss(4, factorized_blank=True), joint=HATJoint),
    "tdt": lambda: transducer(TDTLoss(4, [0, 1, 2], sigma=0.02), extra=3, fused=True),
    "multiblank": lambda: transducer(MultiblankRNNTLoss(6, [2, 4]), extra=2),
    "hybrid": lambda: hybrid(ctc_weight=0.2, ctc_reduction="mean"),
    "mfcc": lambda: classifier(),
    "mel": lambda: classifier(MelSpectrogram(8000, features=20)),
    "speaker": lambda: speaker(),
    "layers": lambda: speaker(decoder={"pool_mode": "attention", "emb_sizes": [8, 4]}),
    "angular": lambda: speaker(loss=AngularSoftmaxLoss(30, 0.2), decoder={"normalize_classes": False}),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_ours_comes_back_the_same(name, tmp_path):
    model = MODELS[name]()
    again = nemo_asr.restore(export(model, tmp_path / "theirs.nemo", "nvidia-nemo"))
    assert_alike(model, again)
    if isinstance(model, TransducerModel):
        assert again.loss.to_config().items() >= model.loss.to_config().items()
        assert (again.max_symbols, again.fused) == (model.max_symbols, model.fused)
        assert again.recognize(AUDIO, LENGTH) == model.recognize(AUDIO, LENGTH)
    if isinstance(model, HybridModel):
        assert (again.ctc_weight, again.ctc_loss.reduction) == (model.ctc_weight, model.ctc_loss.reduction)


def test_word_pieces_go_with_the_model(tmp_path):
    (tmp_path / "vocab.txt").write_text("one\n##s\ntwo\n")
    model = ctc(tokenizer=WordPieceTokenizer(tmp_path / "vocab.txt"))
    path = export(model, tmp_path / "theirs.nemo", "nvidia-nemo")
    assert nemo_asr.restore(path).tokenizer.vocabulary == model.tokenizer.vocabulary
    with Archive(path) as archive:
        assert archive.target.endswith("EncDecCTCModelBPE")
        assert archive.config["tokenizer"]["type"] == "wpe"


def test_subwords_go_with_the_model(tmp_path):
    model = ctc(tokenizer=subwords(tmp_path))
    path = export(model, tmp_path / "theirs.nemo", "nvidia-nemo")
    again = nemo_asr.restore(path)
    assert again.tokenizer.artifacts() == model.tokenizer.artifacts()
    with Archive(path) as archive:
        assert archive.target.endswith("EncDecCTCModelBPE")
        assert sorted(name.partition("_")[2] for name in archive.artifacts) == [
            "tokenizer.model",
            "tokenizer.vocab",
            "vocab.txt",
        ]
        assert archive.config["decoder"]["vocabulary"] == model.tokenizer.vocabulary


def canary(tmp_path, vocab_size=None, decoder=None, **options):
    torch.manual_seed(0)
    languages = {language: subwords(tmp_path) for language in ("en", "de")}
    tokenizer = CanaryTokenizer({"spl_tokens": SpecialTokens(["en", "de"]), **languages})
    layers = {"hidden_size": 12, "num_layers": 2, "inner_size": 16, "num_attention_heads": 2, "pre_ln": True}
    return MultitaskModel(
        MelSpectrogram(8000, features=20),
        ConvASREncoder(BLOCKS, feat_in=20),
        TransformerDecoder(vocab_size or len(tokenizer), max_sequence_length=32, **layers, **(decoder or {})),
        tokenizer,
        **{"prompt": CanaryPrompt(), "min_duration": 1.0, **options},
    ).eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt": Canary2Prompt({"pnc": "no"}), "max_generation_delta": 5},
        {"decoder": {"learn_positional_encodings": True}, "max_length": 32},
        {"beam_size": 3, "length_penalty": 1.0},
        {"transformer_encoder": TransformerEncoder(1, 12, 16, num_attention_heads=2, pre_ln=True)},
        {"label_smoothing": 0.1, "use_loss_mask_for_prompt": True, "classifier_dropout": 0.1},
    ],
    ids=lambda options: "+".join(options) or "defaults",
)
def test_models_with_prompts(tmp_path, options):
    model = canary(tmp_path, **options)
    path = export(model, tmp_path / "theirs.nemo", "nvidia-nemo")
    again = nemo_asr.restore(path)
    assert again.decoder.vocab_size % 8 == 0
    (ours,), (theirs,) = outputs(model), outputs(again)
    torch.testing.assert_close(theirs[..., : ours.shape[-1]], ours)
    assert again.tokenizer.vocabulary == model.tokenizer.vocabulary
    assert again.tokenizer.special == model.tokenizer.special
    assert again.prompt.to_config() == model.prompt.to_config()
    assert again.encode_prompt({"target_lang": "de"}) == model.encode_prompt({"target_lang": "de"})
    for setting in ("beam_size", "length_penalty", "use_loss_mask_for_prompt"):
        assert getattr(again, setting) == getattr(model, setting)
    with torch.no_grad():
        heard, expected = (each.recognize(AUDIO, LENGTH) for each in (again, model))
    assert [each.tokens for each in heard] == [each.tokens for each in expected]
    assert [each.score for each in heard] == pytest.approx([each.score for each in expected], abs=1e-4)


def test_the_limit_of_answers(tmp_path):
    model = canary(tmp_path, max_generation_delta=5)
    again = nemo_asr.restore(export(model, tmp_path / "theirs.nemo", "nvidia-nemo"))
    assert again.limits.max_delta == model.limits.max_delta == 5


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"min_duration": 0.0}, "min_duration=0.0"),
        ({"max_length": 20}, "max_length=20"),
        ({"vocab_size": 200}, "decoder.vocab_size=200"),
    ],
)
def test_what_models_with_prompts_cannot_do_there(tmp_path, options, setting):
    with pytest.raises(ExportError, match=setting):
        export(canary(tmp_path, **options), tmp_path / "theirs.nemo", "nvidia-nemo")


def tokenizers(tmp_path):
    words = tmp_path / "vocab.txt"
    words.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\none\ntwo\n##s\n")
    return {
        "aggregate": AggregateTokenizer({"en": subwords(tmp_path), "de": subwords(tmp_path)}),
        "words": WordPieceTokenizer(words),
        "subwords": subwords(tmp_path),
    }


@pytest.mark.parametrize("name", ["aggregate", "words", "subwords"])
def test_tokenizers(tmp_path, name):
    tokenizer = tokenizers(tmp_path)[name]
    again = nemo_asr.restore(export(ctc(tokenizer=tokenizer), tmp_path / "theirs.nemo", "nvidia-nemo")).tokenizer
    assert type(again) is type(tokenizer)
    assert again.vocabulary == tokenizer.vocabulary


def test_tokenizers_that_are_not_there(tmp_path):
    words = tmp_path / "vocab.txt"
    words.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\none\n")
    lower = WordPieceTokenizer(words, lowercase=True)
    with pytest.raises(ExportError, match=r"tokenizer\.lowercase=True"):
        export(ctc(tokenizer=lower), tmp_path / "theirs.nemo", "nvidia-nemo")
    mixed = AggregateTokenizer({"en": CharTokenizer(" ab")})
    with pytest.raises(ExportError, match=r"tokenizer\.tokenizers\.en: CharTokenizer"):
        export(ctc(tokenizer=mixed), tmp_path / "theirs.nemo", "nvidia-nemo")


def test_one_tokenizer_of_subwords_and_special_tokens(tmp_path):
    tokens = [*SpecialTokens(["en"]).vocabulary, "▁one", "▁two"]
    (tmp_path / "all.model").write_bytes(special_tokens_model(tokens))
    tokenizer = CanaryBPETokenizer(tmp_path / "all.model")
    assert tokenizer.vocabulary == tokens
    files = {}
    section = tokenizer_sections(tokenizer, files)["tokenizer"]
    assert section["custom_tokenizer"]["_target_"].endswith("canary_tokenizer.CanaryBPETokenizer")
    assert files[section["model_path"].removeprefix("nemo:")] == (tmp_path / "all.model").read_bytes()


def test_normalised_weights_of_speakers_are_written_normalised(tmp_path):
    model = speaker(loss=AngularSoftmaxLoss(30, 0.2))
    again = nemo_asr.restore(export(model, tmp_path / "theirs.nemo", "nvidia-nemo"))
    assert not again.decoder.normalize_classes
    assert (again.loss.scale, again.loss.margin) == (30, 0.2)
    for ours, theirs in zip(outputs(model), outputs(again), strict=True):
        torch.testing.assert_close(ours, theirs)


REFUSED = {
    "preprocessor.feature_version=1": lambda: ctc(preprocessor=MelSpectrogram(8000, features=20, feature_version=1)),
    "encoder.norm_eps=1e-05": lambda: ctc(ConvASREncoder(BLOCKS, 20, norm_eps=1e-5)),
    "decoder='ctc'": lambda: hybrid(decoder="ctc"),
    "preprocessor: KaldiFbank": lambda: classifier(KaldiFbank(8000, num_mel_bins=20)),
    "decoder.pool_padding=False": lambda: classifier(pool_padding=False),
    "label_smoothing=0.1": lambda: classifier(label_smoothing=0.1),
    "crop_or_pad=": lambda: classifier(crop_or_pad=CropOrPad(30)),
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_nvidia_nemo_cannot_do_is_named(setting, tmp_path):
    with pytest.raises(ExportError, match=setting):
        export(REFUSED[setting](), tmp_path / "theirs.nemo", "nvidia-nemo")
    assert not list(tmp_path.iterdir())


def test_settings_that_are_refused_can_be_changed(tmp_path):
    path = classifier(pool_padding=False).save(tmp_path / "ours.nemo")
    with pytest.raises(ExportError) as refusal:
        export(nemo_asr.restore(path), tmp_path / "theirs.nemo", "nvidia-nemo")
    assert "--set decoder.pool_padding=true" in refusal.value.hint
    changed = nemo_asr.restore(path, override_config=["decoder.pool_padding=true"])
    assert nemo_asr.restore(export(changed, tmp_path / "theirs.nemo", "nvidia-nemo")).decoder.pool_padding


def test_a_class_of_someone_elses_has_no_counterpart(tmp_path):
    class Mine(ConvASREncoder):
        pass

    with pytest.raises(ExportError, match=r"encoder: .*Mine has no counterpart"):
        export(ctc(Mine(BLOCKS, feat_in=20)), tmp_path / "theirs.nemo", "nvidia-nemo")
