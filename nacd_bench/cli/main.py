"""The command line: ``nacd-bench COMMAND [PATHS] [setting=value ...]``.

Each command is a primary configuration of ``conf/`` and a row of :mod:`nacd_bench.cli.commands`,
which names the function that hands its settings to a job and prints the results.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from nacd_bench import __version__
from nacd_bench.cli.commands import COMMANDS
from nacd_bench.errors import UserError
from nacd_bench.pipeline.tuning import tune_process

BROKEN_PIPE = 128 + 13
"""Exit status by the convention of shells: 128 and the number of the signal, SIGPIPE."""
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}
"""First words of the commands that have two."""
HELP = ("-h", "--help", "help")


def listed(beginning: str = "") -> str:
    """A line for each command whose first word is ``beginning``, for all by default."""
    words = {name: f"{name} {command.usage}".strip() for name, command in COMMANDS.items()}
    wide = max(map(len, words.values())) + 2
    return "\n".join(
        f"  nacd-bench {words[name]:{wide}}{COMMANDS[name].summary}"
        for name in COMMANDS
        if beginning in ("", name.partition(" ")[0])
    )


def usage() -> str:
    """What ``nacd-bench --help`` says."""
    return f"""nacd-bench {__version__}: where a neural image codec damages pictures and a
traditional codec at a comparable rate does not.

{listed()}

  nacd-bench COMMAND --help      what a command takes
  nacd-bench --version

Without any data, detect, agree and benchmark work on pictures that come with nacd-bench.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 all well, 1 something failed, 2 wrong usage.

    Where whoever reads the output has gone (``nacd-bench list | head -3``), it ends without a word
    and with 141, as a program does that SIGPIPE ended.
    """
    tune_process()
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # Python flushes both once more at its end
            os.dup2(nowhere, stream.fileno())
        return BROKEN_PIPE
    return status


def _run(arguments: list[str]) -> int:
    command, rest = split_command(arguments)
    if command in HELP:
        print(usage(), end="")
        return 0
    if command == "--version":
        print(f"nacd-bench {__version__}")
        return 0
    group, _, second = command.partition(" ")
    if group in GROUPS and second in ("", *HELP):
        print(listed(group))
        return 0 if second else 2
    if command not in COMMANDS:
        near = get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        _complain(f"unknown command '{command}'.{hint} Known: {', '.join(COMMANDS)}")
        return 2
    try:
        return _with_options(command, rest)
    except BrokenPipeError:
        raise
    except UserError as error:
        _complain(str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
    except KeyboardInterrupt:
        _complain("stopped. What is done is kept: name the same folder=... to go on.")
        return 130
    return 1


def _with_options(command: str, arguments: Sequence[str]) -> int:
    """Run a command, or say what its options ask for."""
    from omegaconf import OmegaConf

    from nacd_bench.cli import composing

    options = _Options(add_help=False, allow_abbrev=False)
    options.add_argument("-h", "--help", action="store_true")
    options.add_argument("-m", "--multirun", action="store_true")
    options.add_argument("-c", "--cfg", choices=["job"])
    options.add_argument("-i", "--info")
    for flag in COMMANDS[command].flags:
        options.add_argument(f"--{flag}", action="append_const", const=f"{flag}=true", dest="words")
    options.add_argument("words", nargs="*", action="extend", default=[])
    asked = options.parse_intermixed_args(arguments)
    if asked.help:
        print(composing.help_text(command, asked.words))
    elif asked.cfg:
        print(OmegaConf.to_yaml(composing.configuration(command, asked.words)), end="")
    elif asked.info:
        with composing.hydra() as running:
            running.show_info(asked.info, command.replace(" ", "_"), [])
    elif asked.multirun:
        from nacd_bench.cli.sweep import sweep

        return sweep(command, asked.words)
    else:
        return COMMANDS[command].run(**composing.composed(command, asked.words))
    return 0


class _Options(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}. See nacd-bench COMMAND --help.")


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command, of one word or two, and what follows it.

    >>> split_command(["list", "kind=codecs"])
    ('list', ['kind=codecs'])
    """
    words = 2 if arguments and arguments[0] in GROUPS else 1
    return " ".join(arguments[:words]) or "--help", list(arguments[words:])


def _complain(message: str) -> None:
    print(f"nacd-bench: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
