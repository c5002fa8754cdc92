"""Turn errors of Hydra and OmegaConf into one line that names the key and the remedy."""

from __future__ import annotations

import re

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from spot.runtime.checking import suggestion
from spot.runtime.composing import composed, config_folder


def explain(error: Exception, command: str) -> str:
    """Return one line for an error that Hydra reports in several.

    Args:
        error: error while the configuration was composed.
        command: name of the command's file in `conf`.
    """
    conf = config_folder()
    text = _whole_text(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return f"unknown option {unknown[1]}{suggestion(unknown[1], _known_keys(command) - {unknown[1]})}"
    if missing := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = missing[1].rpartition("/")
        options = sorted(p.stem for p in (conf / group).glob("*.yaml")) if group else []
        return f"{group}={choice} does not exist" + (f"; choose from: {', '.join(options)}" if options else "")
    if unset := re.search(r"Environment variable '([^']+)' not found", text):
        inside = "; start inside a job of SLURM, by srun" if unset[1].startswith("SLURM_") else ""
        return f"the environment variable {unset[1]} is not set{inside}"
    if "does not support sweep type" in text:
        return "an interval cannot be swept: list the values, or search intervals with scripts/tune.py"
    if several := re.search(r"Ambiguous value for argument '([^'=]+)", text):
        return f"{several[1]}=...: several values are a sweep: add -m; put a list in brackets, and a text with a comma in quotes"
    if re.search(r"LexerNoViableAlt|no viable alternative|mismatched input|extraneous input|token recognition", text):
        return f"{getattr(error, 'override', None) or lines[0]}: quote the value, as in \"key='a value'\""
    if bare := re.search(r"Error parsing override '([^']*)'\s*missing EQUAL", text):
        return f"{bare[1]}: options are written key=value"
    if twice := re.search(r"Could not append to config. An item is already at '([^']+)'", text):
        return f"{twice[1]} exists already; leave out the +"
    if absent := re.search(r"Could not delete from config. '([^']+)' does not exist", text):
        return f"~{absent[1]}: there is no such option"
    if unread := re.search(r"Could not load '([^']+)'", text):
        return f"{unread[1]} does not exist; choose one name of conf/{unread[1].rpartition('/')[0]}"
    if key := re.search(r"full_key: (\S+)", text):
        return f"{key[1]}: {lines[0].rstrip('.')}"
    return " ".join(lines) or type(error).__name__


def _whole_text(error: BaseException) -> str:
    """Return the texts of an error and of its causes, the first cause first."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return " ".join(str(each) for each in reversed(causes))


def _known_keys(command: str) -> set[str]:
    """Return the dotted names of all options of a command, for suggestions."""
    GlobalHydra.instance().clear()
    tree = OmegaConf.to_container(composed(command), resolve=False)

    def names(node: object, prefix: str) -> set[str]:
        if not isinstance(node, dict):
            return set()
        return {f"{prefix}{key}" for key in node}.union(*(names(v, f"{prefix}{k}.") for k, v in node.items()))

    return names(tree, "") | {path.name for path in config_folder().iterdir() if path.is_dir()}
