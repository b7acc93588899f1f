# SPDX-License-Identifier: Apache-2.0
"""Pictures: tables in notebooks and plots of tabulations."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._casevault import Tabulation

HIDDEN = "*"


def html_table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: int | None) -> str:
    return HIDDEN if value is None else str(value)


def rule_of(table: Tabulation) -> str:
    if table.round_to:
        return f"rounded to multiples of {table.round_to}"
    return f"{HIDDEN} hidden: fewer than {table.min_cell}, or hidden so that these cannot be worked out"


def repr_html(table: Tabulation) -> str:
    columns = table.column_labels if table.columns else []
    lines = []
    for label, cells, total in zip(table.row_labels, table.cells, table.row_totals, strict=True):
        lines.append([label, *(_number(each) for each in cells if table.columns), _number(total)])
    lines.append(["total", *(_number(each) for each in table.column_totals if table.columns), _number(table.total)])
    name = f"{table.rows} \\ {table.columns}" if table.columns else table.rows
    return html_table([name, *columns, "total"], lines) + f"<p>{html.escape(rule_of(table))}. Entry {table.entry}.</p>"


def plot(table: Tabulation, ax: Any = None) -> Any:
    """Bars of the rows, stacked by columns, through matplotlib. What is hidden is a hatched stub that says so."""
    import matplotlib.pyplot
    from matplotlib.patches import Patch

    if ax is None:
        _, ax = matplotlib.pyplot.subplots(figsize=(8, 1.2 + 0.4 * len(table.row_labels)), layout="constrained")
    values = table.cells if table.columns else [[total] for total in table.row_totals]
    labels = table.column_labels if table.columns else ["records"]
    shown = [each for line in values for each in line if each is not None]
    stub = max(shown, default=1) * 0.04 or 1
    left = [0.0] * len(table.row_labels)
    unknown: dict[str, Any] = {"facecolor": "white", "edgecolor": "grey", "hatch": "////"}
    for column in range(len(labels)):
        numbers = [line[column] for line in values]
        bars = ax.barh(table.row_labels, [stub if each is None else each for each in numbers], left=left, color=f"C{column}")
        for bar, number in zip(bars, numbers, strict=True):
            if number is None:
                bar.set(**unknown)
        left = [at + (stub if each is None else each) for at, each in zip(left, numbers, strict=True)]
    ax.invert_yaxis()
    ax.margins(y=0.01)
    ax.set_xlabel("records")
    ax.set_title(f"{table.type}: {table.rows}" + (f" by {table.columns}" if table.columns else ""))
    handles = [Patch(color=f"C{column}", label=label) for column, label in enumerate(labels) if table.columns]
    if any(each is None for line in values for each in line):
        handles.append(Patch(label="hidden", **unknown))
    if handles:
        ax.legend(handles=handles, fontsize="small")
    return ax
