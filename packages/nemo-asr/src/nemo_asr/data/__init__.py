"""Speech data: manifests, audio files, data sets and batches."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ConnectedDigits": ".digits",
        "Manifest": ".manifest",
        "ManifestEntry": ".manifest",
        "SpeechBatch": ".batch",
        "SpeechData": ".speech_data",
        "SpeechDataset": ".speech_dataset",
        "Utterance": ".batch",
        "audio_duration": ".audio",
        "collate_speech": ".batch",
        "read_audio": ".audio",
        "write_manifest": ".manifest",
    },
)
