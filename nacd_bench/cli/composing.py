"""From the words of a command line to the settings of a command.

A word is a path, a choice of a configuration group (``codec@neural=hm``), or a setting
(``folder=run``). Hydra composes the choices. A setting is no matter of its grammar: the type that
the job's signature, or what a node of the configuration makes, has for it says how it is read, and
text is taken as it stands. Only sweeps (``-m``) are Hydra's own.
"""

from __future__ import annotations

import inspect
import os
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from nacd_bench.cli.commands import COMMANDS
from nacd_bench.errors import UserError
from nacd_bench.registry import (
    BASELINES,
    BUILT_IN,
    CODECS,
    DETECTORS,
    TEXT_FINDERS,
    Registry,
    unknown,
)
from nacd_bench.settings import Positive, fits, parts_of, refused, types_of

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra
    from omegaconf import DictConfig

REGISTRIES: Mapping[str, Registry] = {
    registry.kind.replace(" ", "_"): registry
    for registry in (DETECTORS, BASELINES, CODECS, TEXT_FINDERS)
}
"""Configuration groups to whose choices other packages add."""
GROUPS = (*REGISTRIES, "data", "logger", "preset")
OF_EVERY_CODEC = {"name": str, "label": str | None, "rate_factor": Positive}
"""Settings of codecs beside the parameters of their classes."""


def is_setting(word: str) -> bool:
    """Whether a word is a setting or a choice: it says so, and no file is called like this.

    >>> is_setting("codec@neural=hm"), is_setting("triplets/")
    (True, False)
    """
    return re.match(r"[+~]*[\w./@-]+=|~", word) is not None and not os.access(word, os.F_OK)


def composed(command: str, words: Sequence[str]) -> dict[str, Any]:
    """The settings of a command, as plain values.

    Raises:
        UserError: a setting that is not there, a value that it does not take, nothing for one that
            is needed.
    """
    from omegaconf import OmegaConf

    config = configuration(command, words)
    missing = [f"{name}=..." for name in sorted(OmegaConf.missing_keys(config))]
    if missing:
        raise UserError(
            f"expected {', '.join(missing)} (see nacd-bench {command} --help), got nothing."
        )
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def configuration(command: str, words: Sequence[str]) -> DictConfig:
    """The configuration of a command before its interpolations are resolved."""
    from omegaconf import OmegaConf

    settings = [word.lstrip("+").partition("=") for word in words if is_setting(word)]
    paths = [word for word in words if not is_setting(word)]
    choices = [f"{name}={value}" for name, _, value in settings if is_choice(name)]
    if paths and COMMANDS[command].data:
        choices.append(f"data={COMMANDS[command].data}")
    with hydra() as running:
        config = chosen(running, command, choices)
    for name, value in with_names(command, paths):
        OmegaConf.update(config, name, escaped(value), merge=False, force_add=True)
    given = [setting for setting in settings if not is_choice(setting[0])]
    kinds = types_of_command(command) if given else {}  # which imports the job
    for name, equals, text in given:
        if not equals:
            raise UserError(f"expected {name.lstrip('~')}=VALUE, got {name}.")
        kind = kind_of(command, OmegaConf.to_container(config), kinds, name)
        value = escaped(read(name, kind, text))
        OmegaConf.update(config, name, value, merge=False, force_add=True)
    return config


@contextmanager
def hydra() -> Iterator[Hydra]:
    """Hydra at work on the configurations that are installed, with those of plug-ins."""
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    store = ConfigStore.instance()
    for group, registry in REGISTRIES.items():
        for name, entry in registry.entries.items():
            if entry.origin == BUILT_IN or not isinstance(entry.target, str):
                continue
            if group == "codec":
                store.store(name, {"name": name}, group)
            else:
                package = f"{group}.{name}" if group in ("detector", "baseline") else group
                target = entry.target.replace(":", ".")
                store.store(name, {"_target_": target}, group, package)
    with initialize_config_module("nacd_conf", "nacd-bench", version_base="1.3"):
        running = GlobalHydra.instance().hydra
        assert running is not None
        yield running


def chosen(running: Hydra, command: str, choices: Sequence[str], **how: Any) -> DictConfig:
    """What Hydra composes of choices."""
    from hydra import compose
    from hydra.errors import HydraException, MissingConfigException

    name = command.replace(" ", "_")
    try:
        return without_presets(compose(name, [*choices], **how))
    except MissingConfigException as error:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = running.config_loader.get_group_options(group)
        raise UserError(unknown(group.replace("_", " "), choice, options)) from error
    except HydraException as error:
        groups = compose(name, return_hydra_config=True).hydra.runtime.choices
        known = [group for group in groups if not group.startswith("hydra/")]
        for group in (choice.partition("=")[0] for choice in choices):
            if group not in known and not group.startswith("hydra"):
                raise UserError(unknown(f"choice of {command}", group, known)) from error
        raise UserError(
            f"expected choices of {command} as group=choice, got {' '.join(choices)}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def without_presets(config: DictConfig) -> DictConfig:
    """A configuration without what a preset says of detectors that were not chosen."""
    from omegaconf import open_dict

    with open_dict(config):
        for name in list(config.get("detector") or ()):
            if "_target_" not in config.detector[name]:
                del config.detector[name]
    return config


def types_of_command(command: str) -> dict[str, Any]:
    """The types of a command's settings: those of all that take some of them."""
    return dict(ChainMap(*map(types_of, COMMANDS[command].targets)))


def is_choice(name: str) -> bool:
    return name.lstrip("~").partition("@")[0] in GROUPS or name.lstrip("~").startswith("hydra")


def kind_of(command: str, config: Any, kinds: Mapping[str, Any], name: str) -> Any:
    """The type of a setting by its full name.

    Raises:
        UserError: there is none of that name.
    """
    place, node, kind = "", config, None
    for key in name.split("."):
        node = node if isinstance(node, Mapping) else {}
        known = dict.fromkeys([*node, *(kinds if place else ())])
        near = [
            f"{place}{other}" for other in known if other.isidentifier() and other != "_target_"
        ]
        if f"{place}{key}" not in near and "*" not in kinds:
            raise UserError(unknown(f"setting of {command}", f"{place}{key}", near))
        kind, node = kinds.get(key, kinds.get("*", Any)), node.get(key)
        kinds, place = _kinds_in(node, kind), f"{place}{key}."
    return kind


def _kinds_in(node: Any, kind: Any) -> dict[str, Any]:
    """The types of what a node of the configuration holds, by name; ``"*"`` for any name."""
    from hydra.utils import get_object

    if not isinstance(node, Mapping):
        return parts_of(kind)
    try:
        if "_target_" in node:
            target, of_all = get_object(node["_target_"]), {}
        elif str(node.get("name")) in CODECS:
            target, of_all = CODECS.get(node["name"]), OF_EVERY_CODEC
        else:
            return parts_of(kind)
        kinds = types_of(target)
    except Exception:  # of a package that does not load, which the job reports
        return {"*": Any}
    parameters = inspect.signature(target).parameters.values()
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    return {**of_all, **kinds, **({"*": Any} if takes_all else {})}


def read(name: str, kind: Any, text: str) -> Any:
    """The value that the text after ``name=`` is for a setting of this type.

    >>> read("folder", str, "1_0"), read("workers", int | None, "1_0")
    ('1_0', 10)
    """
    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parsed: list[Any] = []
    with suppress(HydraException):
        override = OverridesParser.create().parse_override(f"value={text}")
        parsed = [] if override.is_sweep_override() else [override.value()]
    # what it may stand for, the most likely first
    values = [None] if text == "null" else []
    if kind is Any or (text[:1] in ("[", "{") and not os.access(text, os.F_OK)):
        values += parsed
        with suppress(yaml.YAMLError):
            values.append(yaml.load(text, yaml.BaseLoader))  # which makes nothing but text
    for value in [*values, text, *parsed]:
        if fits(kind, value):
            return value
    raise refused(name, kind, text)


def escaped(value: Any) -> Any:
    """A value in which nothing is an interpolation."""
    if isinstance(value, Mapping):
        return {key: escaped(part) for key, part in value.items()}
    if isinstance(value, list):
        return [escaped(part) for part in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    return re.sub(r"(\\*)(\$\{|$)", lambda m: 2 * m[1] + ("\\${" if m[2] else ""), value)


def with_names(command: str, paths: Sequence[str]) -> Iterator[tuple[str, str | list[str]]]:
    """The settings that paths fill, the last one all that are left."""
    names = COMMANDS[command].paths
    if paths and not names:
        raise UserError(f"expected no paths for {command}, got {' '.join(paths)}.")
    yield from zip(names[:-1], paths, strict=False)
    rest = list(paths[len(names) - 1 :]) if names else []
    if rest:
        yield names[-1], rest[0] if len(rest) == 1 else rest


def help_text(command: str, words: Sequence[str]) -> str:
    """What a command takes: its template with choices, and settings with what each means."""
    from omegaconf import OmegaConf

    name = command.replace(" ", "_")
    settings = OmegaConf.to_yaml(configuration(command, words)).splitlines()
    source = files("nacd_conf").joinpath(f"{name}.yaml").read_text("utf-8")
    for match in re.finditer(r"^(\w+:)([^#\n]*)(#.*(?:\n +#.*)*)", source, re.MULTILINE):
        key, value, comment = match.groups()
        for i, line in enumerate(settings):
            if line.startswith(key):
                settings[i] = f"{line:{len(key + value)}}{comment}"
    with hydra() as running:
        template = chosen(running, command, (), return_hydra_config=True).hydra.help.template
        loader = running.config_loader
        groups = {
            group: sorted(loader.get_group_options(group))
            for group in sorted(GROUPS)
            if re.search(rf"^  - {group}[@:]", source, re.MULTILINE)
        }
    choices = "".join(f"{group}: {', '.join(options)}\n" for group, options in groups.items())
    return Template(template).substitute(APP_CONFIG_GROUPS=choices, CONFIG="\n".join(settings))
