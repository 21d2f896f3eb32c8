"""Results as a notebook shows them."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from typing import Any

from . import _superlinear


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values."""
    cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows)
    return f'<table style="font-variant-numeric: tabular-nums">{"".join(cells)}</table>'


def svg(title: str, c_on_h: Any, m2_on_h: Any) -> str:
    """The scatter of ``C_ii`` and ``M2_ii`` on ``H_ii``."""
    return _superlinear.figure(title, getattr(c_on_h, "_drawn", None), getattr(m2_on_h, "_drawn", None))


def fragment(title: str, rows: Iterable[tuple[str, Any]], c_on_h: Any, m2_on_h: Any) -> str:
    """A table and the figure. The figure is an image, so that its style stays inside."""
    drawn = ""
    if c_on_h or m2_on_h:
        data = base64.b64encode(svg(title, c_on_h, m2_on_h).encode()).decode()
        drawn = f'<img alt="C and M2 on H" style="max-width: 36rem" src="data:image/svg+xml;base64,{data}">'
    return f"<div><p><b>{html.escape(title)}</b></p>{table(rows)}{drawn}</div>"


def layer(title: str, what: str, found: Any) -> str:
    """Of a tensor, its exponents and commutator."""
    pair = found.commutator
    rows = [
        ("tensor", what),
        ("γ of C on H", found.gamma),
        ("γ of M2 on H", found.gamma_m2),
        ("C on M2", found.c_on_m2),
        ("‖CH − HC‖/‖CH‖", pair and f"{pair.ratio:.3g} of random directions, aligned {pair.alignment:.3g}"),
        ("directions", len(found.H_ii)),
    ]
    return fragment(title, rows, found.gamma, found.gamma_m2)
