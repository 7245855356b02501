"""Command groups whose commands come from the registry and are imported when they are run, not when they are listed."""

from __future__ import annotations

import functools
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from nemo_core.errors import ComponentNotFoundError, NemoError
from nemo_core.plugins import Component, load_plugins, registry
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["InterruptError", "LazyCommand", "LazyGroup", "click_command", "tune"]


class InterruptError(NemoError):
    """The user pressed Control-C."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


class LazyGroup(TyperGroup):
    """A group of the commands registered under the words that lead to it, beside those of its own typer app.

    ``nemo`` itself is the group of no words. ``registry.command("asr tokenizer train", ...)`` is the command ``train``
    of the group ``tokenizer`` of the group ``asr``, whoever else contributes to these groups.
    """

    words: tuple[str, ...] = ()
    component: Component | None = None

    @classmethod
    def at(cls, words: tuple[str, ...], component: Component | None) -> LazyGroup:
        """Return the group reached by ``words``; ``component`` was registered under just these."""
        summary = component.summary if component else f"Commands of {words[-1]}"
        group = cls(name=words[-1], help=summary, short_help=summary, rich_markup_mode=None, no_args_is_help=True)
        group.words, group.component = words, component
        tune(group)
        return group

    @functools.cached_property
    def own(self) -> TyperGroup | None:
        """The commands of the typer app registered under the group's own name, if there is one."""
        if self.component is None or not self.component.target:
            return None
        command = click_command(self.component)
        if not isinstance(command, TyperGroup):
            guest = next(iter(self.registered().values()))[0]
            raise NemoError(
                f"{guest.source} adds the command {guest.name}, but {self.component.name} of {self.component.source} "
                "is a command itself, not a group",
                hint=f"uninstall {guest.distribution}, or leave it out with NEMO_PLUGINS=<names to load>",
            )
        return command

    def registered(self) -> dict[str, list[Component]]:
        """The next words that registered commands have, each with the commands that begin so."""
        depth = len(self.words)
        found: dict[str, list[Component]] = {}
        for component in _commands()[0]:
            words = tuple(component.name.split())
            if words[:depth] == self.words and len(words) > depth:
                found.setdefault(words[depth], []).append(component)
        return found

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands, without importing them."""
        return sorted({*self.commands, *self.registered(), *(self.own.commands if self.own else ())})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command that is imported when it is run, or None."""
        own = self.own
        words = (*self.words, cmd_name)
        components = self.registered().get(cmd_name, [])
        exact = next((each for each in components if each.name == " ".join(words)), None)
        if len(components) > (exact is not None) or (exact and not exact.target):
            return LazyGroup.at(words, exact)
        if exact is not None:
            return LazyCommand(exact)
        return own.get_command(ctx, cmd_name) if own else super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # versions of click disagree on what becomes of it
            raise InterruptError from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that ``args`` begin with; if there is none, say which one may have been meant."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            broken = _commands()[1]
            if broken is not None:
                raise broken
            hint = did_you_mean(args[0], self.list_commands(ctx)) or f"`{ctx.command_path} --help` lists the commands"
            raise ComponentNotFoundError(f"{ctx.command_path} has no command {args[0]}", hint=hint)
        return super().resolve_command(ctx, args)


class LazyCommand(TyperCommand):
    """Stands for a registered command in listings; imports it when a context for it is made."""

    def __init__(self, component: Component) -> None:
        super().__init__(component.name.split()[-1], short_help=component.summary, rich_markup_mode=None)
        self.component = component

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Import the command and let it go on."""
        return click_command(self.component).make_context(info_name, args, parent=parent, **extra)


def click_command(component: Component) -> Any:
    """Import a command: a typer app becomes a group (a command, if it has but one), a function a command.

    Raises:
        PluginError: It cannot be imported.
        NemoError: It is neither a typer app nor a function.
    """
    target = component.load()
    name = component.name.split()[-1]
    parent = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(target, typer.Typer):
        single = typer.main.get_command(target)
        if not isinstance(single, TyperGroup) and len(target.registered_commands) == 1:
            parent.registered_commands.append(target.registered_commands[0])
            parent.registered_commands[0].name = name
        else:
            parent.add_typer(target, name=name)
    elif callable(target):
        parent.command(name)(target)
    else:
        raise NemoError(
            f"command {component.name} of {component.source} is a {type(target).__name__}: {component.target}",
            hint="a command is a typer app or a function",
        )
    command = typer.main.get_group(parent).commands[name]
    tune(command)
    return command


def tune(command: Any) -> None:
    """Make a command, and those below it, show its help the way a manual does, and start faster."""
    if command.help:
        command.short_help = command.short_help or _first_sentence(command.help)
        command.help = re.sub(
            r"(?m)^((?:Examples?|Environment):)$", "\b\n\\1", command.help
        )  # click would fill the lines
    make_help_option = command.get_help_option

    def get_help_option(ctx: Any) -> Any:
        option = make_help_option(ctx)
        if option is not None:
            _without_pydantic(option)
        return option

    command.get_help_option = get_help_option
    for parameter in command.params:
        _without_pydantic(parameter)
        if parameter.param_type_name == "argument":
            _name_in_capitals(parameter)
    for sub in getattr(command, "commands", {}).values():
        tune(sub)


def _first_sentence(text: str) -> str:
    r"""Return what lists of commands show; click would cut the sentence where the line ends.

    >>> _first_sentence("Show a recipe as it would run,\nwith defaults. And more.")
    'Show a recipe as it would run, with defaults'
    """
    return re.split(r"\.(?:\s|$)", " ".join(text.partition("\n\n")[0].split()))[0]


def _name_in_capitals(argument: Any) -> None:
    """Show an argument as ``NAME``, ``[NAME]`` or ``NAME...``, whatever the version of typer has for it."""
    name = (argument.metavar or argument.name).upper()
    several = "..." if argument.nargs != 1 else ""
    usage = f"{name}{several}" if argument.required else f"[{name}{several}]"
    make_record = argument.get_help_record
    argument.get_help_record = lambda ctx: (name, record[1]) if (record := make_record(ctx)) else None
    argument.get_usage_pieces = lambda ctx: [usage]


def _without_pydantic(option: Any) -> None:
    # A flag without a default is None when it is not given; to make a bool of that, typer 0.29 imports pydantic: 70 ms.
    if getattr(option, "is_flag", False) and option.default is None:
        option.default = False


@functools.cache
def _commands() -> tuple[tuple[Component, ...], NemoError | None]:
    """All registered commands; where plugins stand in each other's way, nemo-core's and the error."""
    try:
        return registry().components("cli"), None
    except NemoError as error:
        # `nemo doctor` and `nemo --help` must answer, above all when something is broken.
        return load_plugins({"NEMO_PLUGINS": ""}).registry.components("cli"), error
