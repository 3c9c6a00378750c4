"""``python -m fusionbench``."""

from fusionbench.cli import main

main()
