"""Models, the archives they are kept in, and the catalogue of published ones."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Archive": ".archive",
        "ArchiveInfo": ".inspect",
        "Catalogue": ".catalogue",
        "LoadReport": ".report",
        "Model": ".model",
        "PretrainedModel": ".catalogue",
        "init_from": ".init_from",
        "inspect_archive": ".inspect",
        "restore": ".restore",
        "save": ".save",
    },
)
