"""The drawings of the series: plain functions of arrays, in one style, with one colour for space and one for time."""

from helpers.plots.charts import bars, curves, matrix, roofline, scatter, shares_by_clip
from helpers.plots.diagrams import FULL_SHAPES, PARTS, draw_network, family, receptive_fields, residual_block, stage
from helpers.plots.films import (
    answers_beside_frames,
    draw_answers,
    draw_frame,
    film_strip,
    films_beside_values,
    overlaid,
    ribbon,
    slices,
    timeline,
)
from helpers.plots.style import ANSWER, INK, PALE, SPACE, STYLE, TIME, add_axes, new_figure, show
from helpers.plots.volumes import factorised, filters, kernel_in_volume, kernels, singular_values, t_x_slices

__all__ = [
    "ANSWER",
    "FULL_SHAPES",
    "INK",
    "PALE",
    "PARTS",
    "SPACE",
    "STYLE",
    "TIME",
    "add_axes",
    "answers_beside_frames",
    "bars",
    "curves",
    "draw_answers",
    "draw_frame",
    "draw_network",
    "factorised",
    "family",
    "film_strip",
    "films_beside_values",
    "filters",
    "kernel_in_volume",
    "kernels",
    "matrix",
    "new_figure",
    "overlaid",
    "receptive_fields",
    "residual_block",
    "ribbon",
    "roofline",
    "scatter",
    "shares_by_clip",
    "show",
    "singular_values",
    "slices",
    "stage",
    "t_x_slices",
    "timeline",
]
