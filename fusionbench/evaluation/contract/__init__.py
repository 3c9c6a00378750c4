"""The plugin contract as code: our tests run it over every plugin, `fusionbench validate` over a stranger's.

report.py     outcomes, and what a check may do
cards.py      what a card must say beyond its record
samples.py    generated pictures and labels
method.py, metric.py, dataset.py, task.py    one contract for each kind
recipe.py     training of methods and task networks: a few steps, stopped and resumed
"""

from __future__ import annotations

from fusionbench.evaluation.contract.cards import check_card
from fusionbench.evaluation.contract.dataset import check_dataset
from fusionbench.evaluation.contract.method import check_method
from fusionbench.evaluation.contract.metric import check_metric
from fusionbench.evaluation.contract.recipe import check_recipes
from fusionbench.evaluation.contract.report import Report
from fusionbench.evaluation.contract.samples import sample_images
from fusionbench.evaluation.contract.task import check_task
from fusionbench.plugins.cards import Card, card
from fusionbench.plugins.records import Facts
from fusionbench.plugins.registry import resolve

__all__ = ["Report", "sample_images", "validate"]


def validate(entry: Card[Facts]) -> Report:
    """Run the contract of the card's kind.

    Returns:
        Every check with its outcome; nothing is raised.
    """
    report = Report(entry)
    with report.check("card"):
        check_card(entry.facts)
    with report.check("code imports"):
        resolve(entry.kind, entry.name)
    if not report.ok:
        return report
    if entry.kind == "method":
        check_method(card("method", entry.name), report)
        check_recipes(entry.name, report)
    elif entry.kind == "metric":
        check_metric(card("metric", entry.name), report)
    elif entry.kind == "dataset":
        check_dataset(card("dataset", entry.name), report)
    else:
        smallest = check_task(card("task", entry.name), report)
        if smallest:
            check_recipes(smallest, report)
    return report
