"""What nemo-espeak brings; nothing is imported to say so."""

from __future__ import annotations

from nemo_core.plugins import Registry, hookimpl


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register the converter."""
    registry.text_processor(
        "espeak.EspeakG2p", "nemo_espeak.g2p:EspeakG2p", summary="Text of many languages to IPA, by espeak-ng"
    )
