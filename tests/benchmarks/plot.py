"""The plot of growth: each cost over the number of rows, both axes logarithmic, everybody in a colour of his own."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.bench import Point

COLOURS = {
    "snaptable": "#d62728", "sqlite, WAL FULL": "#1f77b4", "SQLModel, WAL FULL": "#17becf", "TinyDB": "#2ca02c",
    "stop-gap": "#ff7f0e", "dict": "#7f7f7f", "write + fsync + rename": "#7f7f7f",
}  # fmt: skip
DASHED = ("dict", "write + fsync + rename")
UNITS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))


def draw(points: Sequence[Point], path: Path, title: str) -> bool:
    """Draw a panel for each cost; return False where matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    costs = list(dict.fromkeys(point.cost for point in points))
    figure, axes = plt.subplots((len(costs) + 3) // 4, 4, figsize=(17, 4.1 * ((len(costs) + 3) // 4)), squeeze=False)
    for cost, axis in zip(costs, axes.flat, strict=False):
        for name in dict.fromkeys(point.name for point in points if point.cost == cost):
            mine = [point for point in points if (point.cost, point.name) == (cost, name)]
            style = "--" if name in DASHED else "-"
            width = 2.6 if name == "snaptable" else 1.5
            values = [point.rows for point in mine], [point.seconds for point in mine]
            axis.plot(*values, style, marker="o", markersize=4, linewidth=width, color=COLOURS[name], label=name)
        weighed = "bytes" in cost
        axis.set(title=cost, xscale="log", yscale="linear" if weighed else "log", xlabel="rows")
        axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _rows(value)))
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(_bytes if weighed else _time))
        if weighed:
            axis.set_ylim(bottom=0)
        elif axis.get_ylim()[1] / axis.get_ylim()[0] < 100:
            axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        axis.grid(visible=True, which="major", alpha=0.3)
        axis.legend(fontsize=8)
    for axis in axes.flat[len(costs) :]:
        axis.axis("off")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _rows(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k"


def _time(value: float, _: object) -> str:
    factor, unit = max((one for one in UNITS if one[0] <= value * 1.0000001), default=UNITS[0])
    return f"{value / factor:g} {unit}"


def _bytes(value: float, _: object) -> str:
    return f"{value:,.0f} B"
