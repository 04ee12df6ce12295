"""Numbers: as tables, curves, bars and points."""

import numpy as np
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox

from helpers.plots.style import ANSWER, INK, PALE, SHADES, TIME, add_axes, new_figure


def matrix(values, rows, columns, write="{:.0%}".format, shades=None, title="", xlabel="", ylabel="", color=INK):
    """A table of numbers, the larger the darker.

    Args:
        values: (rows, columns).
        rows, columns: a text for each.
        write: from a number to what stands in its cell.
        shades: 0 to 1 for each cell where the numbers are not.
        title: what the numbers are.
        xlabel, ylabel: what the columns and the rows are.
        color: of the columns' texts; `TIME` where they are times.
    """
    values = np.asarray(values)
    shades = values if shades is None else np.asarray(shades)
    long = max(map(len, columns)) * len(columns) > 70  # no room side by side
    figure = new_figure(9.6, 0.4 + 0.4 * len(rows) + 0.9 * long + 0.3 * bool(title) + 0.25 * bool(xlabel))
    axes = add_axes(figure)
    axes.imshow(shades, cmap=SHADES, vmin=0, vmax=1.3, aspect="auto")
    for row, column in np.ndindex(values.shape):
        text = write(values[row, column]).replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", fontsize=10)
    axes.set_title(title)
    axes.set_xlabel(xlabel, color=color)
    axes.set_ylabel(ylabel)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(
        range(len(columns)), columns, **(dict(rotation=30, ha="right", rotation_mode="anchor") if long else {})
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=color)
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
    times = [f"{start:.1f} s" for start in starts]
    return matrix(shares[:, best].T, [labels[k] for k in best], times, xlabel="clip that begins at", color=TIME)


def curves(panels):
    """Lines side by side, a panel each.

    Args:
        panels: for each panel a dict of title, xlabel, ylabel, log (a logarithmic y axis), beside (the names stand
            beside it), from_zero (the y axis begins there), like (the number of an earlier panel whose y axis it shares,
            the first is 0), xticks (places on the x axis), xcolor (of the x label; `TIME` for times) and lines, a dict
            that gives for each name x, y and how matplotlib is to draw them.
    """
    figure = new_figure(9.6, 3.4)
    for number, panel in enumerate(panels, start=1):
        like = figure.get_axes()[panel["like"]] if "like" in panel else None
        axes = add_axes(figure, 1, len(panels), number, sharey=like)
        for name, (x, y, how) in panel["lines"].items():
            axes.plot(x, y, label=name, lw=1.8, **how)
        if panel.get("log"):
            axes.set_yscale("log")
        if panel.get("from_zero"):
            axes.set_ylim(0, 1.1 * max(max(y) for _, y, _ in panel["lines"].values()))
        if panel.get("xticks"):
            axes.set_xticks(panel["xticks"])
        axes.set_title(panel["title"])
        axes.set_xlabel(panel["xlabel"], color=panel.get("xcolor", INK))
        axes.set_ylabel(panel["ylabel"])
        if any(panel["lines"]):  # a single line may go without a name
            beside = dict(loc="center left", bbox_to_anchor=(1, 0.5)) if panel.get("beside") else {}
            axes.legend(frameon=False, fontsize=9, **beside)
    return figure


def bars(names, panels, shared=False):
    """Horizontal bars, a panel for each quantity.

    Args:
        names: of the rows, from top to bottom.
        panels: for each title the values, and a function that writes one of them down.
        shared: whether all panels have one scale, for values that are to be compared.
    """
    largest = max(max(values) for values, _ in panels.values())
    figure = new_figure(9.6, 0.8 + 0.3 * len(names))
    for number, (title, (values, write)) in enumerate(panels.items(), start=1):
        axes = add_axes(figure, 1, len(panels), number)
        places = np.arange(len(names))[::-1]
        axes.barh(places, values, height=0.66, color=PALE)
        for place, value in zip(places, values):
            axes.text(value, place, f" {write(value)}", va="center", fontsize=9)
        axes.set_yticks(places, names if number == 1 else [""] * len(names))
        axes.set(xlim=(0, 1.35 * (largest if shared else max(values))), xticks=[])
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
        axes.margins(0.2, 0.2)
        axes.set_title(panel["title"])
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
    figure.draw_without_rendering()  # so that every point has its place
    for axes, panel in zip(figure.get_axes(), panels):
        _name_points(axes, panel["points"])
    return figure


def _name_points(axes, points, size=9):
    """Write the name of each point as near as there is room; a line leads to it if that is more than 10 pt away or
    nearer to another point.

    Neither names nor lines lie on another name, point or line.
    """
    scale = axes.figure.dpi / 72  # pixels a point
    inside = axes.get_window_extent().padded(-4)
    places = axes.transData.transform(list(points.values()))
    dots = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in places]
    names, lines = [], []  # what is taken, as boxes
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    for number in np.argsort(np.minimum(apart, 60 * scale).sum(1), kind="stable"):  # the most crowded ones first
        name, point = list(points.items())[number]
        width, height = (TextPath((0, 0), name, size).get_extents().width + 6) * scale, 1.25 * size * scale
        others = dots[:number] + dots[number + 1 :]
        for box, end in _boxes_around(places[number], width, height, scale):
            gaps = np.hypot(*np.maximum(0, np.maximum(box.p0 - places, places - box.p1)).T)
            led = gaps[number] > min(10 * scale, gaps.min() + 1)
            line = _line_to(box, places[number], end) if led else []
            free = not any(box.overlaps(one) for one in dots + names + lines)
            free = free and not any(one.overlaps(other) for one in line for other in others + names + lines)
            if free and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
        names.append(box)
        lines += line
        how = dict(textcoords="offset points", ha="center", va="center", fontsize=size)
        if led:
            relpos = (end[0] - box.x0) / width, 0.5
            how |= dict(arrowprops=dict(arrowstyle="-", color=INK, lw=0.6, shrinkA=0, shrinkB=3, relpos=relpos))
        axes.annotate(name, point, ((box.p0 + box.p1) / 2 - places[number]) / scale, **how)


def _boxes_around(place, width, height, scale):
    """Boxes in all directions from a place, the nearest first, and for each where a line in that direction ends."""
    for radius in range(8, 120, 4):
        for angle in np.linspace(0, 2 * np.pi, 32, endpoint=False):
            x, y = end = place + radius * scale * np.array((np.cos(angle), np.sin(angle)))
            yield Bbox.from_bounds(x - (1 - np.cos(angle)) / 2 * width, y - height / 2, width, height), end


def _line_to(box, place, end):
    """Small boxes along the line from a place to an end in a box, without its first 8 pixels and what is inside."""
    length = np.hypot(*(end - place))
    boxes = [Bbox.from_bounds(*(place + k / length * (end - place) - 1), 2, 2) for k in np.arange(8, length, 2)]
    return [one for one in boxes if not one.overlaps(box)]


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
        axes.plot(x, y, label=name, **{"marker": "o", "ls": ""} | how)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure
