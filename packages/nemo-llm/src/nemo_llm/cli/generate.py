"""``nemo llm generate``: text from a language model."""

from __future__ import annotations

import json as json_module
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem
from nemo_core.errors import ConfigError, DataError, NemoError

__all__ = ["generate"]


@dataclass
class _Request:
    """What is asked for; plain values, since other processes get it too."""

    model: str
    prompts: list[Any]  # texts, or lists of messages
    settings: dict[str, Any] = field(default_factory=dict)
    loading: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    json: bool = False
    echo: bool = False


def generate(
    model: Annotated[
        str, typer.Argument(help="Run folder, model folder, checkpoint, adapter, or a folder of Hugging Face.")
    ],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", metavar="TEXT", help="Text to go on from; can be repeated.")
    ] = None,
    prompts_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A prompt a line, or .jsonl with `prompt` or `messages`; - is stdin."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="New tokens at most, per prompt.")] = 128,
    temperature: Annotated[float, typer.Option(metavar="X", help="Below 1 safer, above 1 wilder; 0: greedy.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(metavar="K", help="Choose among the K likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Choose among the likeliest tokens of probability P together.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")] = False,
    repetition_penalty: Annotated[
        float, typer.Option(metavar="X", help="Above 1: what was there gets less likely.")
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of the random choices; none: another each time.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="End before this text; can be repeated; \\n is a new line.")
    ] = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on where the model would end.")] = False,
    chat: Annotated[bool, typer.Option("--chat", help="Prompts are what a user says in a conversation.")] = False,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="With --chat: the system's message.")] = None,
    adapter: Annotated[str | None, typer.Option(metavar="FOLDER", help="An adapter to put on the model.")] = None,
    tokenizer: Annotated[str | None, typer.Option(metavar="FOLDER", help="Instead of the model's own.")] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="float32, bfloat16 or float16. [default: float32 on a CPU]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Prompts that are computed together.")] = 64,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before the text.")] = False,
    nproc: Annotated[int, typer.Option(min=1, metavar="N", help="Divide the model among N processes.")] = 1,
    json: JsonOption = False,
) -> None:
    r"""Let a language model go on from texts.

    One prompt is answered as the text comes; several are computed together.

    Example:
      nemo llm generate runs/tiny_shakespeare/latest --prompt "KING RICHARD:" --max-tokens 200 --temperature 0.8
    """
    texts: list[Any] = [*(prompt or []), *(_read_prompts(prompts_file) if prompts_file is not None else [])]
    if not texts:
        raise ConfigError("there is no prompt", hint="give --prompt TEXT, or --prompts-file FILE")
    if system is not None and not chat:
        raise ConfigError("--system is a part of a conversation", hint="give --chat too")
    if chat:
        opening = [] if system is None else [{"role": "system", "content": system}]
        texts = [[*opening, {"role": "user", "content": text}] if isinstance(text, str) else text for text in texts]
    request = _Request(
        model,
        texts,
        {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "greedy": greedy,
            "repetition_penalty": repetition_penalty,
            "stop": [each.replace("\\n", "\n").replace("\\t", "\t") for each in stop or ()],
            "ignore_eos": ignore_eos,
            "seed": seed,
        },
        {"adapter": adapter, "tokenizer": tokenizer, "dtype": dtype},
        batch_size,
        json,
        echo,
    )
    if nproc > 1 and "RANK" not in os.environ:
        _launch(request, nproc)
    else:
        _answer(request)


def _answer(request: _Request) -> None:
    """Load the model, with the other processes where there are some, and print what it says."""
    from nemo_core.config.schema import TrainerConfig
    from nemo_core.training.distributed import join_world
    from nemo_llm.generation import Sampling, load_for_generation
    from nemo_llm.megatron import Layout

    Sampling(**request.settings)  # what is wrong with them is said before anything is loaded
    with join_world(TrainerConfig(accelerator="auto")) as world:
        layout = Layout(tensor=world.size)
        with load_for_generation(request.model, layout=layout, **request.loading) as model:
            if model.tokenizer is None:
                raise ConfigError(f"{model.source} has no tokenizer", hint="give one: --tokenizer FOLDER")
            _print(request, model, speaks=world.rank == 0)


def _print(request: _Request, model: Any, *, speaks: bool) -> None:
    from nemo_llm.generation import generate as continue_texts
    from nemo_llm.generation import stream

    prompts = [_tokens(each, model.tokenizer) for each in request.prompts]
    longest = model.config.max_length
    if speaks and request.settings["max_tokens"] >= longest:
        typer.echo(f"note: the model takes {longest} tokens, prompt included; it ends there", err=True)
    if len(prompts) == 1 and not request.json:
        pieces = stream(model, prompts[0], **request.settings)
        first = next(pieces, "")  # what is wrong with the prompt is said before it is printed
        if speaks:
            sys.stdout.write(f"{_shown(request.prompts[0]) if request.echo else ''}{first}")
        for piece in pieces:
            if speaks:
                sys.stdout.write(piece)
                sys.stdout.flush()
        if speaks:
            sys.stdout.write("\n")
        return
    found = continue_texts(model, prompts, batch_size=request.batch_size, **request.settings)
    if not speaks:
        return
    if request.json:
        print_json(
            [
                {
                    ("prompt" if isinstance(each, str) else "messages"): each,
                    "text": one.text,
                    "tokens": len(one.tokens),
                    "finish_reason": one.finish_reason,
                }
                for each, one in zip(request.prompts, found, strict=True)
            ]
        )
        return
    for number, (each, one) in enumerate(zip(request.prompts, found, strict=True)):
        typer.echo(f"{'' if number == 0 else chr(10)}> {_shown(each)}")
        typer.echo(one.text)


def _tokens(prompt: Any, tokenizer: Any) -> Any:
    """Return a text as it is, and a conversation as tokens."""
    if isinstance(prompt, str):
        return prompt
    return tokenizer.encode_chat(prompt, add_generation_prompt=True)


def _shown(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else str(prompt[-1].get("content", ""))


def _read_prompts(path: Path) -> list[Any]:
    """Return the prompts of a file.

    Raises:
        DataError: It is not there, not UTF-8, or a line is no prompt.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="give a text file in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if path.suffix not in (".jsonl", ".json"):
        return [line for _, line in lines]
    return [_prompt_of(line, f"{path}:{number}") for number, line in lines]


def _prompt_of(line: str, where: str) -> Any:
    try:
        entry = json_module.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is no JSON: {error}", hint="a file .jsonl has an object a line") from None
    found = entry if isinstance(entry, str) else None
    if isinstance(entry, dict):
        found = entry.get("prompt", entry.get("messages"))
    messages = isinstance(found, list) and found and all(isinstance(each, dict) and "role" in each for each in found)
    if not (isinstance(found, str) or messages):
        raise DataError(f"{where} has no prompt", hint='write {"prompt": "..."}, or {"messages": [{"role": ...}]}')
    return found


def _launch(request: _Request, processes: int) -> None:
    """Answer in several processes on this machine; the first of them speaks.

    Raises:
        ConfigError: The model cannot be divided among so many.
    """
    from nemo_llm.megatron import Layout
    from nemo_llm.models.sources import read_source
    from nemo_llm.peft.sources import find_adapter

    adapter = find_adapter(request.model)
    source = read_source(Path(request.model) if adapter is None else adapter.base_folder())
    Layout(tensor=processes).check(processes, source.config)
    command = [
        *(sys.executable, "-m", "nemo_core.training.launcher", str(processes), sys.executable),
        *("-m", "nemo_llm.cli.generate", json_module.dumps(asdict(request))),
    ]
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // processes))
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": threads}) as child:
        try:
            code = child.wait()
        except BaseException:
            child.terminate()
            raise
    if code:
        raise typer.Exit(code)


def _work(text: str) -> int:
    """Be one of several processes."""
    try:
        _answer(_Request(**json_module.loads(text)))
    except NemoError as error:
        if os.environ.get("RANK") == "0":
            print_problem("error", error.message, error.hint)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_work(sys.argv[1]))
