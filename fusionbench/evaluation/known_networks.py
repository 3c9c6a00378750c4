"""Task networks that others trained and the user added: kept in the cache as runs of ours, used by name."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.evaluation.adopted import check_regular_file, write
from fusionbench.naming import matches
from fusionbench.plugins.cards import cards, did_you_mean
from fusionbench.plugins.records import NetworkWeightFacts
from fusionbench.plugins.weights import NAME, sha256
from fusionbench.runtime import locations
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.task import task_of
from fusionbench.training.trained import WEIGHTS, facts_of

CALLED = re.compile(r"(?P<network>[^\[\]]+)(\[(?P<name>[^\[\]]+)\])?")


@dataclass(frozen=True, kw_only=True)
class KnownNetwork:
    """One that was added.

    Attributes:
        network: whose tensors they are.
        name: short name, as in ``yolox-nano[coco]``.
        sha256: of the file as it was released.
        trained_on: what the card or the user says of it.
        path: the run's folder.
    """

    network: str
    name: str
    sha256: str
    trained_on: str
    path: Path

    @property
    def id(self) -> str:
        """As users type it."""
        return f"{self.network}[{self.name}]"


def networks() -> list[str]:
    """Every network that a task's card names."""
    return [network for entry in cards("task").values() for network in entry.facts.networks]


def listed() -> list[NetworkWeightFacts]:
    """The checkpoints that tasks' cards tell of."""
    return [weights for entry in cards("task").values() for weights in entry.facts.weights]


def installed() -> list[KnownNetwork]:
    """Those in the cache, by network and name; what is damaged is left out."""
    found = []
    for file in sorted((locations.current().cache / "networks").glob(f"*/*/{WEIGHTS}")):
        try:
            facts = facts_of(file)
            said = {key: str(facts[key]) for key in ("released", "trained_on")}
        except (FusionbenchError, KeyError):
            continue
        network, name = file.parent.parent.name, file.parent.name
        known = KnownNetwork(
            network=network, name=name, sha256=said["released"], trained_on=said["trained_on"], path=file.parent
        )
        found.append(known)
    return found


def add(network: str, file: Path, name: str | None = None, trained_on: str | None = None) -> KnownNetwork:
    """Convert a released file and keep it, once the network has loaded it strictly.

    Args:
        network: one that a task's card names.
        file: as its authors released it; nothing in it is executed.
        name: short name; by default the card's name for this file, else the file's stem in lower case.
        trained_on: what it was trained on, for files that no card lists.

    Raises:
        FusionbenchError: no such file, tensors of another network, a name that is taken; or a library is missing.
    """
    check_regular_file(file)
    try:
        digest = sha256(file)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror})") from None
    known = next((w for w in listed() if w.network == network and w.sha256 == digest), None)
    name = name or (known.name if known else file.stem.lower())
    if not NAME.fullmatch(name) or name.startswith("."):
        raise WeightsError(f"{file}: name {name!r}: give one of letters, digits, dot, - and _ with name=")
    others = [(w.network, w.name, w.sha256) for w in listed()] + [(w.network, w.name, w.sha256) for w in installed()]
    if any(other[:2] == (network, name) and other[2] != digest for other in others):
        raise WeightsError(f"{file}: {network}[{name}] is another file; give this one another name with name=")
    owner = task_of(network)
    made = owner.released(network, file)
    facts: dict[str, object] = {
        "name": network,
        "task": owner.name,
        "classes": list(made.classes),
        "ignore_index": None,
        "datasets": [],
        "config": {"channels": 3},
        "convention": made.convention,
        "released": digest,
        "trained_on": trained_on or (known.trained_on if known else made.trained_on),
    }
    home = locations.current().cache / "networks" / network / name
    write(home / WEIGHTS, made.tensors, facts)
    load_network(home)
    return KnownNetwork(network=network, name=name, sha256=digest, trained_on=str(facts["trained_on"]), path=home)


def remove(network: str, name: str) -> None:
    """Take one out of the cache.

    Raises:
        WeightsError: it is not there, or cannot be removed.
    """
    known = next((w for w in installed() if (w.network, w.name) == (network, name)), None)
    if known is None:
        raise WeightsError(f"{network} has no weights {name!r} here; `fusionbench weights list` shows what there is")
    try:
        shutil.rmtree(known.path)
    except OSError as error:
        raise WeightsError(f"{known.path}: cannot be removed ({error.strerror})") from None


def called(text: str, option: str = "--frozen") -> Path | None:
    """The run's folder of a network that was added, by ``NETWORK`` or ``NETWORK[NAME]``; None for what names none.

    Raises:
        WeightsError: the network has none here, none of this name, or several and no name says which.
    """
    parts = CALLED.fullmatch(text)
    found = matches(parts["network"], networks()) if parts else []
    if parts is None or len(found) != 1:
        return None
    own = [w for w in installed() if w.network == found[0]]
    if not own:
        raise WeightsError(f"{option} {text}: none is here; {hint(found[0])}")
    names = {w.name: w.path for w in own}
    if parts["name"] in names:
        return names[parts["name"]]
    if parts["name"] is None and len(own) == 1:
        return own[0].path
    if parts["name"] is None:
        raise WeightsError(f"{option} {text}: which one? {', '.join(w.id for w in own)}")
    raise WeightsError(f"{option} {text}: {did_you_mean(parts['name'], names)}")


def hint(network: str) -> str:
    """The command that would add one."""
    known = next((w for w in listed() if w.network == network), None)
    if known is None:
        return f"fusionbench weights add {network} FILE"
    return f"fusionbench weights add {network} {known.file}  (from {known.url})"
