"""The recipe of all task networks will do."""

from fusionbench.tasks.recipe import TaskRecipe


class GlowRecipe(TaskRecipe):
    pass
