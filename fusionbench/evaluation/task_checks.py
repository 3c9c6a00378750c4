"""Looks for what would fail later, before anything is fused or trained for the tasks."""

from __future__ import annotations

from dataclasses import replace

from fusionbench.data.label_checks import check_labels
from fusionbench.errors import DataError
from fusionbench.evaluation.entries import one_entry
from fusionbench.evaluation.pictures import labelled
from fusionbench.evaluation.plan import Plan
from fusionbench.evaluation.task_folds import check_folds
from fusionbench.evaluation.task_plan import TaskRequest, splits_of, tested_splits
from fusionbench.tasks.task import task


def check(plan: Plan, request: TaskRequest) -> TaskRequest:
    """Make every recipe's settings once and read every label, so that what is wrong is told before anything is fused.

    Returns:
        The request with names as they are, however they were typed.

    Raises:
        FusionbenchError: a network without recipe, a size or a setting that its recipe does not have, no such entry, a
            label that is damaged.
    """
    learnt = {name for name in request.tasks if request.trains(name)}
    if "frozen" in request.protocols and learnt:
        request = replace(request, frozen_on=one_entry(request.frozen_on).id)
    for source in plan.sources:
        for name in request.tasks:
            asked = task(name)
            try:
                asked.classes(source.dataset)
            except DataError:
                continue  # reported when the tasks run
            if request.folds:
                request = check_folds(request, source, asked, plan.device)
                check_labels(source.dataset, source.split, labelled(source, source.split, asked.needs).ids)
            if name in learnt:
                draft = request.draft(asked, source.dataset, plan.device, 0).canonical()
                draft.settings_text()
                request = replace(request, size=draft.size)
            train, tests = splits_of(source, asked)[0], tested_splits(source, asked, request)
            for split in (train, *tests) if name in learnt else tests:
                check_labels(source.dataset, split, labelled(source, split, asked.needs).ids)
    return request
