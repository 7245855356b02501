from __future__ import annotations

import copy
import pickle

import pytest

import nemo_core.types as nt
from nemo_core.errors import NeuralTypeError
from nemo_core.types import Comparison

# The tree that NeMo 2 documents, in its own names: a rewrite that loses a branch breaks people's modules.
PARENTS = {
    "ElementType": "VoidType ChannelType LogitsType ProbsType LogprobsType LabelsType LengthsType LossType AudioSignal "
    "VideoSignal Index Target ImageValue ImageFeatureValue StringType BoolType IntType FloatType "
    "ProbabilityDistributionSamplesType NormalDistributionMeanType NormalDistributionLogVarianceType "
    "SequenceToSequenceAlignmentType TokenDurationType TokenLogDurationType LogDeterminantType",
    "ChannelType": "EmbeddedTextType EncodedRepresentation SpectrogramType",
    "EncodedRepresentation": "AcousticEncodedRepresentation",
    "SpectrogramType": "MelSpectrogramType MFCCSpectrogramType",
    "LabelsType": "HypothesisType PredictionsType",
    "PredictionsType": "RegressionValuesType CategoricalValuesType MaskType",
    "Target": "ClassificationTarget",
    "ImageValue": "NormalizedImageValue",
    "StringType": "StringLabel",
    "IntType": "TokenIndex Length",
    "ProbabilityDistributionSamplesType": "NormalDistributionSamplesType",
}


@pytest.mark.parametrize(("parent", "children"), PARENTS.items())
def test_the_tree_is_nemos(parent, children):
    for child in children.split():
        assert getattr(nt, child).__bases__ == (getattr(nt, parent),)


def test_parameters_are_attributes_with_defaults():
    assert nt.AudioSignal().freq is None
    assert nt.AudioSignal(16000).freq == nt.AudioSignal(freq=16000).freq == 16000
    assert nt.VideoSignal(fps=25).type_parameters == {"fps": 25}
    assert repr(nt.MelSpectrogram(n_mels=80)) == "MelSpectrogram(n_mels=80)"
    assert (str(nt.Lengths()), repr(nt.Lengths())) == ("Lengths", "Lengths()")


@pytest.mark.parametrize(
    "make",
    [
        lambda: nt.AudioSignal(rate=1),
        lambda: nt.AudioSignal(1, 2),
        lambda: nt.AudioSignal(1, freq=1),
        lambda: nt.Lengths(3),
        lambda: nt.AudioSignal([16000]),
    ],
)
def test_wrong_parameters_are_refused(make):
    with pytest.raises(NeuralTypeError):
        make()


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        (nt.AudioSignal(), nt.AudioSignal(), Comparison.SAME),
        (nt.AudioSignal(16000), nt.AudioSignal(), Comparison.SAME),
        (nt.AudioSignal(16000), nt.AudioSignal(8000), Comparison.SAME_TYPE_INCOMPATIBLE_PARAMS),
        (nt.MelSpectrogram(), nt.Spectrogram(), Comparison.LESS),
        (nt.MelSpectrogram(), nt.ElementType(), Comparison.LESS),
        (nt.Channel(), nt.MFCC(), Comparison.GREATER),
        (nt.MFCC(), nt.MelSpectrogram(), Comparison.INCOMPATIBLE),
        (nt.Void(), nt.MFCC(), Comparison.SAME),
        (nt.Void(), nt.ElementType(), Comparison.SAME),
        (nt.Lengths(), nt.Length(), Comparison.INCOMPATIBLE),
    ],
)
def test_comparison(one, other, answer):
    assert one.compare(other) is answer
    assert other.compare(one) is answer.mirrored


class BirdCall(nt.AudioSignal):
    species: str | None = None


class Pair(nt.ElementType):
    fields = ("left", "right")


class ReversedPair(Pair):
    fields = ("right", "left")


def test_types_of_others_extend_the_tree():
    wren = BirdCall(freq=48000, species="wren")
    assert wren.type_parameters == {"freq": 48000, "species": "wren"}
    assert wren.compare(nt.AudioSignal()) is Comparison.LESS
    assert wren.compare(nt.AudioSignal(48000)) is Comparison.LESS
    assert wren.compare(BirdCall(species="robin")) is Comparison.SAME_TYPE_INCOMPATIBLE_PARAMS


def test_a_parameter_in_common_must_agree_across_the_tree():
    assert BirdCall(freq=48000).compare(nt.AudioSignal(8000)) is Comparison.SAME_TYPE_INCOMPATIBLE_PARAMS
    assert nt.AudioSignal(8000).conflicts(BirdCall(freq=48000)) == {"freq": (8000, 48000)}


def test_elements_with_other_fields_are_unrelated():
    assert Pair().compare(Pair()) is Comparison.SAME
    assert Pair().compare(ReversedPair()) is Comparison.INCOMPATIBLE
    assert Pair().compare(nt.ElementType()) is Comparison.LESS


def test_elements_are_immutable_values():
    wren = BirdCall(species="wren")
    assert wren == BirdCall(species="wren") != BirdCall()
    assert wren != nt.AudioSignal()
    assert pickle.loads(pickle.dumps(wren)) == wren
    assert copy.deepcopy(wren) is copy.copy(wren) is wren
    assert len({wren, BirdCall(species="wren"), BirdCall()}) == 2
    with pytest.raises(AttributeError, match="immutable"):
        wren.freq = 3
