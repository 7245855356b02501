"""Neural modules with typed inputs and outputs, and what it takes to configure, train, archive and extend them.

Importing this package is instant: each public name is imported when it is first used.

>>> import nemo_core
>>> nemo_core.NemoError("what happened", hint="what to do").exit_code
2
"""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nemo_core.config import compose as compose
    from nemo_core.config import instantiate as instantiate
    from nemo_core.errors import NemoError as NemoError
    from nemo_core.graph import NeuralGraph as NeuralGraph
    from nemo_core.models import Model as Model
    from nemo_core.models import restore as restore
    from nemo_core.modules import Loss as Loss
    from nemo_core.modules import NeuralModule as NeuralModule
    from nemo_core.plugins import registry as registry
    from nemo_core.types import NeuralType as NeuralType
    from nemo_core.types import typed as typed

__getattr__, __dir__ = attach(__name__)
