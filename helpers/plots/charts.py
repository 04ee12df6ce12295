"""Numbers: as tables, curves, bars and points."""

import numpy as np
from matplotlib.transforms import Bbox

from helpers.plots.style import ANSWER, INK, PALE, TIME, add_axes, new_figure


def matrix(values, rows, columns, write="{:.0%}".format, shades=None):
    """A table of numbers, the larger the darker.

    Args:
        values: (rows, columns).
        rows, columns: a text for each.
        write: from a number to what stands in its cell.
        shades: 0 to 1 for each cell where the numbers are not.
    """
    values = np.asarray(values)
    shades = values if shades is None else np.asarray(shades)
    long = max(map(len, columns)) * len(columns) > 70  # no room side by side
    figure = new_figure(9.6, 0.8 + 0.4 * len(rows) + 0.5 * long)
    axes = add_axes(figure)
    axes.imshow(shades, cmap="Greens", vmin=0, vmax=1.3, aspect="auto")
    for row, column in np.ndindex(values.shape):
        axes.text(column, row, write(values[row, column]), ha="center", va="center", fontsize=10)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(
        range(len(columns)), columns, **(dict(rotation=30, ha="right", rotation_mode="anchor") if long else {})
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def shares_by_clip(shares, labels, starts, keep=4):
    """What a network gives to each label in each clip of a video: a column a clip, in the order of time.

    Args:
        shares: (clips, labels), 0 to 1.
        labels: a text for each column of `shares`.
        starts: seconds at which the clips begin.
        keep: how many labels are drawn, those with the largest mean.
    """
    shares = np.asarray(shares)
    best = np.argsort(-shares.mean(0), kind="stable")[:keep]
    figure = matrix(shares[:, best].T, [labels[k] for k in best], [f"{start:.1f} s" for start in starts])
    (axes,) = figure.get_axes()
    axes.set_xlabel("clip that begins at", color=TIME)
    axes.tick_params(axis="x", colors=TIME)
    return figure


def curves(panels):
    """Lines side by side, a panel each.

    Args:
        panels: for each panel a dict of title, xlabel, ylabel, log (a logarithmic y axis), beside (the names stand
            beside it), from_zero (the y axis begins there), xticks (places on the x axis) and lines, a dict that gives for
            each name x, y and how matplotlib is to draw them.
    """
    figure = new_figure(9.6, 3.4)
    for number, panel in enumerate(panels, start=1):
        axes = add_axes(figure, 1, len(panels), number)
        for name, (x, y, how) in panel["lines"].items():
            axes.plot(x, y, label=name, lw=1.8, **how)
        if panel.get("log"):
            axes.set_yscale("log")
        if panel.get("from_zero"):
            axes.set_ylim(0, 1.1 * max(max(y) for _, y, _ in panel["lines"].values()))
        if panel.get("xticks"):
            axes.set_xticks(panel["xticks"])
        axes.set_title(panel["title"])
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
        if any(panel["lines"]):  # a single line may go without a name
            beside = dict(loc="center left", bbox_to_anchor=(1, 0.5)) if panel.get("beside") else {}
            axes.legend(frameon=False, fontsize=9, **beside)
    return figure


def bars(names, panels):
    """Horizontal bars, a panel for each quantity.

    Args:
        names: of the rows, from top to bottom.
        panels: for each title the values, and a function that writes one of them down.
    """
    figure = new_figure(9.6, 0.8 + 0.3 * len(names))
    for number, (title, (values, write)) in enumerate(panels.items(), start=1):
        axes = add_axes(figure, 1, len(panels), number)
        places = np.arange(len(names))[::-1]
        axes.barh(places, values, height=0.66, color=PALE)
        for place, value in zip(places, values):
            axes.text(value, place, f" {write(value)}", va="center", fontsize=9)
        axes.set_yticks(places, names if number == 1 else [""] * len(names))
        axes.set(xlim=(0, 1.35 * max(values)), xticks=[])
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def scatter(panels, columns=2):
    """Named points, a panel for each pair of quantities.

    Args:
        panels: for each a dict of title, xlabel, ylabel and points, a dict that gives x and y for each name; and lit, the
            names in the colour of an answer.
    """
    figure = new_figure(9.6, 3.7 * -(-len(panels) // columns))
    for number, panel in enumerate(panels, start=1):
        axes = add_axes(figure, -(-len(panels) // columns), columns, number)
        for name, point in panel["points"].items():
            axes.plot(*point, "o", color=ANSWER if name in panel["lit"] else INK, ms=6)
        axes.margins(0.14, 0.16)
        axes.set_title(panel["title"])
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
    figure.draw_without_rendering()  # so that every point has its place
    for axes, panel in zip(figure.get_axes(), panels):
        _name_points(axes, panel["points"])
    return figure


def _name_points(axes, points, size=9):
    """Write the name of each point where it hides no other name and no other point, as near as that allows."""
    scale = axes.figure.dpi / 72
    inside = axes.get_window_extent()
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in axes.transData.transform(list(points.values()))]
    for name, point in points.items():
        x, y = axes.transData.transform(point)
        width, height = 0.62 * size * len(name) * scale, 1.25 * size * scale
        for radius, angle in ((r, a) for r in range(8, 90, 6) for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)):
            dx, dy = radius * scale * np.cos(angle), radius * scale * np.sin(angle)
            left = x + dx - width / 2 * (1 - np.cos(angle))
            box = Bbox.from_bounds(left, y + dy - height / 2, width, height)
            free = not any(box.overlaps(other) for other in taken)
            if free and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
        taken.append(box)
        middle = ((box.x0 + box.x1) / 2 - x) / scale, dy / scale
        line = dict(arrowstyle="-", color=INK, lw=0.6, shrinkA=0, shrinkB=3)
        axes.annotate(
            name, point, middle, textcoords="offset points", ha="center", va="center", fontsize=size, arrowprops=line
        )


def roofline(kinds, peak, bandwidth):
    """How fast each layer computes, by how much it computes for each byte that it moves, under a machine's two ceilings.

    Args:
        kinds: for each kind of layer its FLOP a byte, its GFLOP a second (two lists), and how matplotlib is to draw them.
        peak: the most GFLOP a second.
        bandwidth: the most gigabytes a second.
    """
    figure = new_figure(9.6, 4.2)
    axes = add_axes(figure, 1, 1, 1)
    every = [x for xs, _, _ in kinds.values() for x in xs]
    ends = np.array([min(every) / 2, max(*every, peak / bandwidth) * 3])
    corner = np.clip(peak / bandwidth, *ends)
    axes.plot([ends[0], corner], [bandwidth * ends[0], bandwidth * corner], color=INK, lw=1.6)
    axes.plot([corner, ends[1]], [peak, peak], color=INK, lw=1.6)
    axes.set(xscale="log", yscale="log", xlim=ends, xlabel="FLOP for each byte moved", ylabel="GFLOP a second")
    axes.annotate(
        f"computing: {peak:,.0f} GFLOP a second",
        (ends[1], peak),
        (-6, 6),
        textcoords="offset points",
        ha="right",
        fontsize=10,
    )
    middle = corner**0.65 * ends[0] ** 0.35  # between the layers that move and those that compute
    axes.annotate(
        f"moving: {bandwidth:,.0f} GB a second",
        (middle, bandwidth * middle),
        (12, -10),
        textcoords="offset points",
        fontsize=10,
    )
    for name, (x, y, how) in kinds.items():
        axes.plot(x, y, "o", label=name, **how)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure
