"""From a published result back to its numbers: verify every hash, rerun, compare."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.protocol import metric
from fusionbench.evaluation.runner import Progress, run
from fusionbench.plugins.cards import cards
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.report.tables import build
from fusionbench.results.store import Store


@dataclass
class Reproduction:
    """What was verified and how the numbers compare.

    Attributes:
        differences: facts that are not as recorded (code, weights, data, split), one line each.
        worst: metric id to the largest absolute difference of a mean, over entries.
        cells: number of means compared.
    """

    differences: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)
    cells: int = 0

    @property
    def same(self) -> bool:
        """Whether every compared mean has the same bits."""
        return self.cells > 0 and not any(self.worst.values())


def reproduce(
    result: Path,
    out: Path,
    data_root: Path | None = None,
    images: tuple[str, ...] = (),
    jobs: int = 0,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> Reproduction:
    """Rerun a table.

    Args:
        result: ``STEM.provenance.json`` with ``STEM.json`` beside it (or either of them).
        out: a fresh output directory for the rerun.
        data_root, images, jobs, device: as for ``eval``.

    Raises:
        FusionbenchError: files missing, or nothing that can be rerun here.
    """
    facts, table = _read(result)
    found = Reproduction()
    plan = _plan(facts, found, data_root, images, jobs, device)
    _verify_code(facts, found)
    with Store(out) as store:
        outcome = run(plan, store, f"fusionbench reproduce {result.name}", progress)
        found.differences += [f"{i} of {d} ({e}): {reason}" for (e, d, i), reason in outcome.failures.items()]
        source = plan.sources[0]
        again = build(
            store,
            source.info(),
            [m.id for m in source.metrics],
            [e.key for e in plan.entries],
            ids=source.ids,
        )
        pairs = store.pairs(source.label, source.split)
    changed = [i for i, h in facts["pairs"].items() if i in pairs and pairs[i] != h]
    absent = [i for i in facts["pairs"] if i not in pairs]
    if changed:
        found.differences.append(f"data: {len(changed)} source pairs have other bytes, e.g. {changed[0]}")
    if absent:
        found.differences.append(f"data: {len(absent)} source pairs are not here, e.g. {absent[0]}")
    rows = {r["id"]: r["scores"] for r in again.to_dict()["rows"]}
    for row in table["rows"]:
        for name, cell in row["scores"].items():
            if row["id"] in rows and name in rows[row["id"]]:
                found.cells += 1
                gap = _gap(cell["mean"], rows[row["id"]][name]["mean"])
                found.worst[name] = max(found.worst.get(name, 0.0), gap)
    return found


def _gap(a: float | None, b: float | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    return abs(a - b)


def _read(result: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    name = result.name
    for suffix in (".provenance.json", ".json", ".md", ".csv", ".tex"):
        if name.endswith(suffix):
            name = name[: -len(suffix)]
            break
    loaded = []
    for path in (result.with_name(name + ".provenance.json"), result.with_name(name + ".json")):
        try:
            loaded.append(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise FusionbenchError(
                f"{path}: not there; a result is a table's .json with its .provenance.json beside it"
            ) from None
        except (OSError, ValueError) as error:
            raise FusionbenchError(f"{path}: cannot be read: {error}") from None
    if "board" not in loaded[0] or "rows" not in loaded[1]:
        raise FusionbenchError(f"{result}: no result of fusionbench")
    return loaded[0], loaded[1]


def _plan(
    facts: dict[str, Any], found: Reproduction, data_root: Path | None, images: tuple[str, ...], jobs: int, device: str
) -> Plan:
    """The plan that made the table, as far as its parts are here."""
    board = facts["board"]
    methods = []
    given = {i.partition("=")[0] for i in images}
    for e in facts["entries"]:
        if cards("method").get(e["method"]) is None:
            found.differences.append(f"{e['id']}: no method {e['method']} here")
        elif cards("method")[e["method"]].data.get("precomputed"):
            if e["options"].get("name") not in given:
                found.differences.append(
                    f"{e['id']}: pictures of another program; name them with --images {e['options'].get('name')}=DIR"
                )
        else:
            inside = [e["weights"]["name"]] if e["weights"] else []
            defaults = cards("method")[e["method"]].defaults
            inside += [f"{k}={v}" for k, v in e["options"].items() if v != defaults.get(k)]
            methods.append(e["method"] + (f"[{','.join(inside)}]" if inside else ""))
    name = board["dataset"].rpartition("-")[2]
    rule = None if board["output"] == "released" else board["output"]
    usable = []
    for spec in methods:
        try:
            make_plan(Request(methods=(spec,), datasets=(name,), data_root=data_root, output_rule=rule))
            usable.append(spec)
        except FusionbenchError as error:
            found.differences.append(f"{spec}: cannot run here: {error}")
    request = Request(
        methods=tuple(usable),
        datasets=(name,),
        metrics=tuple(board["metrics"]),
        images=images,
        data_root=data_root,
        split=board["split"],
        output_rule=rule,
        device=device,
        jobs=jobs,
        ids=tuple(facts["pairs"]),
    )
    plan = make_plan(request)
    split = plan.sources[0].info()
    if split["split_sha256"] != board["split_sha256"]:
        found.differences.append(
            f"split {board['split']}: its list is {split['split_sha256'][:12]}, "
            f"recorded is {board['split_sha256'][:12]}"
        )
    recorded = {e["id"]: e for e in facts["entries"]}
    for entry in plan.entries:
        was = recorded.get(entry.id)
        if was and was["weights"] and entry.weights and was["weights"]["sha256"] != entry.weights.sha256:
            found.differences.append(
                f"{entry.id}: weights {entry.weights.sha256[:12]}, recorded {was['weights']['sha256'][:12]}"
            )
    return plan


def _verify_code(facts: dict[str, Any], found: Reproduction) -> None:
    for e in facts["entries"]:
        here = cards("method").get(e["method"])
        if here and code_hash(here) != e["code"]:
            found.differences.append(
                f"{e['id']}: the method's code has changed since "
                f"(version {e['version']} then, {here.data['version']} now)"
            )
    for name, was in facts["metrics"].items():
        if metric(name).code != was["code"]:
            found.differences.append(f"{name}: the metric's code has changed since (version {was['version']} then)")
