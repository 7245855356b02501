"""Distributed checkpoints: a model, and what trains it, as a folder that any layout can read.

A folder has ``manifest.json`` (the architecture, and size and checksum of every file), ``weights/`` (shards as
Megatron-core's ``dist_checkpointing`` writes them: any Megatron can read them), ``tokenizer/`` if there is one and, of
a training, ``trainer.ckpt`` (plain values of loops and callbacks). It is written beside its place and renamed: whole or
not there.

**Without a trainer** (all processes call; the engine runs):

- :func:`save_model_folder` ``(path, chunks, config, *, layout, tokenizer, optimizer, step, extra, overwrite=False)``
- :func:`load_model_folder` ``(path, chunks, optimizer=None, strict=True) -> Manifest``
- :func:`read_manifest` ``(path) -> Manifest`` (needs no engine): ``.config`` (ModelConfig), ``.layout``, ``.step``,
  ``.tokenizer`` (its folder or None), ``.extra``.

``chunks`` are this process's parts of the model, as ``build_chunks`` returns them, wrapped in data parallelism or not.

**In a strategy** there is one :class:`MegatronCheckpointIO`, which the strategy hands to Lightning's ``Strategy`` as
its ``checkpoint_io``; core's ``Checkpoints`` callback, resume and tests on the best weights then work on folders::

    io = MegatronCheckpointIO(self.parts, background=True)
    super().__init__(..., checkpoint_io=io)

    def parts(self) -> ModelParts:                          # asked for at each save and load
        return ModelParts(chunks, config, layout, optimizer, tokenizer)

    def save_checkpoint(self, checkpoint, filepath, storage_options=None):
        self.checkpoint_io.save_checkpoint(checkpoint, filepath)     # on all ranks; checkpoint has no weights in it

    def load_checkpoint(self, checkpoint_path, weights_only=None):
        return self.checkpoint_io.load_checkpoint(checkpoint_path)   # the dict of loops and callbacks (trainer.ckpt)

    def load_model_state_dict(self, checkpoint, strict=True): ...    # nothing: restore() does both
    def load_optimizer_state_dict(self, checkpoint):                 # the chunks and the optimiser are there by now
        self.checkpoint_io.restore(optimizer=True)                   # from the path that load_checkpoint was given
    restore_checkpoint_after_setup = True                            # a property of Strategy
    def lightning_module_state_dict(self): return {}
    def optimizer_state(self, optimizer): return {}

``teardown`` of Lightning's base class calls ``checkpoint_io.teardown()``, which waits for the save under way: it must
come before the process groups end. All methods are called by all ranks; all ranks raise alike.

At the end of a run core calls ``model.archive(stem)`` on all ranks; a model of Megatron parts overrides it::

    def archive(self, stem: Path) -> Path:
        return save_model_folder(stem.with_suffix(".dist"), chunks, config, layout=layout, overwrite=True)
"""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.megatron.checkpoint.folder import load_model_folder as load_model_folder
    from nemo_llm.megatron.checkpoint.folder import save_model_folder as save_model_folder
    from nemo_llm.megatron.checkpoint.manifest import Manifest as Manifest
    from nemo_llm.megatron.checkpoint.manifest import read_manifest as read_manifest
    from nemo_llm.megatron.checkpoint.training import MegatronCheckpointIO as MegatronCheckpointIO
    from nemo_llm.megatron.checkpoint.training import ModelParts as ModelParts

__getattr__, __dir__ = attach(__name__)
