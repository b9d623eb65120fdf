"""A small grid: two numbers, two kinds."""

GRID = {"optimizer.learning_rate": (0.01, 0.1), "strategy.kind": ("fed_avg", "fed_adam")}
