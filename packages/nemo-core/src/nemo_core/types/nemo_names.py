"""The names that NVIDIA NeMo gives types, for modules and people that come from there."""

from __future__ import annotations

from nemo_core.types.axes import Axis
from nemo_core.types.comparison import Comparison
from nemo_core.types.elements import (
    MFCC,
    AcousticEncoded,
    Bool,
    CategoricalValues,
    Channel,
    EmbeddedText,
    Float,
    Hypothesis,
    Int,
    Labels,
    Lengths,
    LogDeterminant,
    Logits,
    LogProbs,
    Loss,
    Mask,
    MelSpectrogram,
    NormalDistributionLogVariance,
    NormalDistributionMean,
    NormalDistributionSamples,
    Predictions,
    ProbabilityDistributionSamples,
    Probs,
    RegressionValues,
    SequenceToSequenceAlignment,
    Spectrogram,
    String,
    TokenDuration,
    TokenLogDuration,
    Void,
)

AxisType = Axis
NeuralTypeComparisonResult = Comparison

VoidType = Void
ChannelType = Channel
EmbeddedTextType = EmbeddedText
AcousticEncodedRepresentation = AcousticEncoded
SpectrogramType = Spectrogram
MelSpectrogramType = MelSpectrogram
MFCCSpectrogramType = MFCC
LogitsType = Logits
ProbsType = Probs
LogprobsType = LogProbs
LabelsType = Labels
HypothesisType = Hypothesis
PredictionsType = Predictions
RegressionValuesType = RegressionValues
CategoricalValuesType = CategoricalValues
MaskType = Mask
LengthsType = Lengths
LossType = Loss
StringType = String
BoolType = Bool
IntType = Int
FloatType = Float
ProbabilityDistributionSamplesType = ProbabilityDistributionSamples
NormalDistributionSamplesType = NormalDistributionSamples
NormalDistributionMeanType = NormalDistributionMean
NormalDistributionLogVarianceType = NormalDistributionLogVariance
SequenceToSequenceAlignmentType = SequenceToSequenceAlignment
TokenDurationType = TokenDuration
TokenLogDurationType = TokenLogDuration
LogDeterminantType = LogDeterminant
