"""Models, the archives they are kept in, and the catalogue of published ones."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.models.archive import Archive as Archive
    from nemo_core.models.catalogue import Catalogue as Catalogue
    from nemo_core.models.catalogue import PretrainedModel as PretrainedModel
    from nemo_core.models.exporting import export as export
    from nemo_core.models.inspect import ArchiveInfo as ArchiveInfo
    from nemo_core.models.inspect import inspect_archive as inspect_archive
    from nemo_core.models.loading import restore as restore
    from nemo_core.models.model import Model as Model
    from nemo_core.models.nvidia_export import NvidiaModel as NvidiaModel
    from nemo_core.models.report import LoadReport as LoadReport
    from nemo_core.models.saving import save as save
    from nemo_core.models.transfer import init_from as init_from
    from nemo_core.models.turns import TrainedInTurn as TrainedInTurn

__getattr__, __dir__ = attach(__name__)
