"""The ``nemo`` command: options that every command has, and what becomes of errors.

Exit codes: 0 all well; 1 something failed; 2 the user's input is at fault; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nemo_core.cli.lazy import LazyGroup, tune
from nemo_core.cli.output import print_problem
from nemo_core.errors import NemoError
from nemo_core.plugins import PluginWarning

__all__ = ["main", "root"]

# typer carries its own click in some versions and not in others; through this class either is found.
_ClickError: Any = typer.BadParameter.mro()[2]


def _print_version(value: bool) -> None:
    if value:
        from nemo_core import __version__

        typer.echo(f"nemo-core {__version__}")
        raise typer.Exit


def root() -> LazyGroup:
    """Build the top-level command."""
    app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, no_args_is_help=True)
    app.callback(
        help="Build, train and run models made of typed neural modules.",
        epilog="\b\nExamples:\n  nemo recipes list\n  nemo train asr/spoken_digits\n  nemo train --help",
        context_settings={"help_option_names": ["-h", "--help"]},
    )(_options)
    group = typer.main.get_command(app)
    assert isinstance(group, LazyGroup)
    tune(group)
    return group


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=lambda value: _print_version(value), help="Show the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="On an error, show the traceback. Goes anywhere.")] = False,
) -> None:
    # --debug is taken off the command line by main(), since it may stand behind a subcommand; here it is for --help.
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    arguments, debug = _take_debug(sys.argv[1:] if arguments is None else arguments)
    warnings.showwarning = _show_warning
    code = run(arguments, debug=debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or 1
        _silence_stdout()
    sys.exit(code)


def run(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command and return its exit code; what goes wrong is told on stderr.

    Args:
        arguments: What stands behind ``nemo`` on the command line.
        debug: Print tracebacks of errors.
    """
    try:
        result = root().main(args=list(arguments), prog_name="nemo", standalone_mode=False)
        return result if type(result) is int else 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:  # before any command ran
        print_problem("error", "interrupted")
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except typer.Abort:
        print_problem("error", "aborted")
        return 1
    except _ClickError as error:
        return _report_usage(error)
    except NemoError as error:
        print_problem("error", error.message, error.hint)
        if debug:
            traceback.print_exc()
        return error.exit_code
    except Exception as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        print_problem("error", what, None if debug else "run the same command with --debug for the traceback")
        if debug:
            traceback.print_exc()
        return 1


def _report_usage(error: Any) -> int:
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and later raise what was an exit before
        typer.echo(context.get_help())
        return 0 if context.parent is None else 2
    hint = f"`{context.command_path} --help` shows how it is used" if context is not None else None
    print_problem("error", error.format_message(), hint)
    return int(error.exit_code)


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out of the arguments, as far as ``--``.

    >>> _take_debug(["train", "--debug", "r", "--", "--debug"])
    (['train', 'r', '--', '--debug'], True)
    """
    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [each for each in arguments[:end] if each != "--debug"]
    return options + arguments[end:], len(options) < end


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    if issubclass(category, PluginWarning):
        print_problem("warning", str(message))
    else:
        print(warnings.formatwarning(message, category, *where[:2]), end="", file=sys.stderr)


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush into a closed pipe says nothing."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
