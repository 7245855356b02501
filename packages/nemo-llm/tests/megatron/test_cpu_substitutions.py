"""Each substitution is there for a reason: without it the engine fails, or does what it must not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_core.errors import ConfigError, TrainingError
from nemo_llm.megatron import Layout, cpu, engine

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="substitutions are for machines without a GPU")


def engine_config(**more: Any) -> Any:
    from megatron.core.transformer import TransformerConfig

    return TransformerConfig(
        num_layers=1,
        hidden_size=16,
        num_attention_heads=2,
        use_cpu_initialization=True,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        gradient_accumulation_fusion=False,
        batch_p2p_comm=False,
        calculate_per_token_loss=True,
        **more,
    )


def experts(**more: Any) -> dict[str, Any]:
    return {"num_moe_experts": 2, "moe_router_topk": 2, "moe_ffn_hidden_size": 16, "add_bias_linear": False, **more}


def train_step(without: tuple[str, ...] = (), layout: Layout | None = None, **more: Any) -> float:
    """One step of the engine's own tiny GPT with its distributed optimizer."""
    cpu.activate(without=without)
    try:
        with engine(layout, seed=1):
            return run_step(engine_config(**more))
    finally:
        cpu.deactivate()


def run_step(config: Any) -> float:
    from megatron.core.distributed import (
        DistributedDataParallel,
        DistributedDataParallelConfig,
        finalize_model_grads,
    )
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
    from megatron.core.pipeline_parallel import get_forward_backward_func

    spec = get_gpt_layer_local_spec(num_experts=config.num_moe_experts)
    model = GPTModel(config, spec, 32, 8, position_embedding_type="rope")
    settings = DistributedDataParallelConfig(use_distributed_optimizer=True)
    wrapped = DistributedDataParallel(config, settings, model)
    optimizer = get_megatron_optimizer(
        OptimizerConfig(optimizer="adam", lr=1e-3, use_distributed_optimizer=True, clip_grad=0.1),
        [wrapped],
        use_gloo_process_groups=False,
    )
    config.finalize_model_grads_func = finalize_model_grads
    tokens = torch.arange(16).view(2, 8)

    def step(source: Any, chunk: Any) -> Any:
        losses = chunk(next(source), torch.arange(8).expand(2, -1), None, labels=tokens)
        return losses, lambda x: (x.sum(), torch.tensor(x.numel(), dtype=torch.int), x.sum().detach())

    found = get_forward_backward_func()(
        forward_step_func=step,
        data_iterator=iter([tokens]),
        model=wrapped,
        num_microbatches=1,
        seq_length=8,
        micro_batch_size=2,
        forward_only=False,
    )
    assert optimizer.step()[0]
    return float(found[0])


def test_the_engine_trains_with_all_of_them() -> None:
    assert 0 < train_step() < 200
    assert 0 < train_step(**experts()) < 200


@pytest.mark.parametrize("name", ["current_device", "factories", "random_numbers", "type_names"])
def test_a_dense_model_does_not_train_without(name: str) -> None:
    with pytest.raises((AssertionError, RuntimeError, TypeError, TrainingError)):
        train_step(without=(name,))


@pytest.mark.parametrize("name", ["router_product", "streams"])
def test_experts_do_not_train_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from megatron.core.transformer.moe.token_dispatcher import MoEAlltoAllTokenDispatcher

    monkeypatch.setattr(MoEAlltoAllTokenDispatcher, "cuda_dtoh_stream", None)  # kept by the class since the first one
    with pytest.raises((AssertionError, RuntimeError, NameError)):
        train_step(without=(name,), **experts(moe_token_dispatcher_type="alltoall"))


def test_norms_are_not_recomputed_without() -> None:
    options = {"recompute_granularity": "selective", "recompute_modules": ["layernorm"]}
    losses = []
    for each in ({}, options):
        torch.manual_seed(0)
        losses.append(train_step(**each))
    assert losses[1] == pytest.approx(losses[0])
    with pytest.raises(NameError, match="FP8GlobalStateManager"):
        train_step(without=("fp8_state",), **options)


def test_dispatch_by_all_to_all_needs_lists_of_sizes(two_ranks: Any) -> None:
    options = experts(moe_token_dispatcher_type="alltoall", expert_model_parallel_size=2)
    layout = Layout(expert=2)
    assert two_ranks.run(train_step, (), layout, **options)[0] > 0
    with pytest.raises(TrainingError, match=r"AttributeError|TypeError"):
        two_ranks.run(train_step, ("split_sizes",), layout, **options)


def test_moving_to_the_gpu_is_asked_for() -> None:
    def load_scale(without: tuple[str, ...]) -> None:
        cpu.activate(without=without)
        try:
            from megatron.core.optimizer.grad_scaler import DynamicGradScaler

            scaler = DynamicGradScaler(8.0, 1.0, 2.0, 0.5, 10, 2)
            scaler.load_state_dict({"scale": torch.tensor([4.0]), "growth_tracker": 0, "hysteresis_tracker": 2})
            assert float(scaler.scale) == 4.0
        finally:
            cpu.deactivate()

    load_scale(())
    with pytest.raises((AssertionError, RuntimeError)):
        load_scale(("move_to_gpu",))


def test_small_functions_are_not_compiled() -> None:
    look = "from megatron.core.transformer.utils import gelu_impl; import sys; "
    look += "print(hasattr(gelu_impl, '_torchdynamo_orig_callable'), 'torch._inductor.compile_fx' in sys.modules)"
    ours = "from nemo_llm.megatron import cpu; cpu.activate(); "

    def told(program: str) -> str:
        command = [sys.executable, "-W", "ignore", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert told(ours + look) == "False False"
    assert told(look) == "True True"  # "compiled_functions" has its reason
    assert told(look + "; " + ours + look).splitlines()[-1].startswith("False")  # imported by somebody before us


def test_the_mesh_of_fsdp_is_of_the_cpu() -> None:
    def shard(without: tuple[str, ...]) -> str:
        cpu.activate(without=without)
        try:
            with engine():
                from megatron.core.distributed import DistributedDataParallelConfig
                from megatron.core.distributed.torch_fully_sharded_data_parallel import TorchFullyShardedDataParallel

                wrapped = TorchFullyShardedDataParallel(
                    engine_config(), DistributedDataParallelConfig(), torch.nn.Linear(2, 2)
                )
                return str(wrapped.device_mesh.device_type)
        finally:
            cpu.deactivate()

    assert shard(()) == "cpu"
    with pytest.raises((AssertionError, RuntimeError)):
        shard(("device_mesh",))


def test_every_substitution_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in cpu.SUBSTITUTIONS if f'"{name}"' not in text] == []


def test_everything_is_put_back() -> None:
    import megatron.core.optimizer.clip_grads as module

    before = torch.Tensor.cuda, torch.nn.Module.cuda, module.torch, module.clip_grad_by_total_norm_fp32
    cpu.activate()
    assert module.torch is not torch
    assert module.torch.zeros(2, device="cuda").device.type == "cpu"
    cpu.deactivate()
    assert (torch.Tensor.cuda, torch.nn.Module.cuda, module.torch, module.clip_grad_by_total_norm_fp32) == before


@pytest.mark.parametrize("version", ["0.15.3", "0.17.0", "1.0"])
def test_another_engine_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=rf"megatron-core {version} is installed"):
        cpu.check_version(version)
