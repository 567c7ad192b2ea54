"""The plot: for each row that has a target, how far the ratio goes towards it, as SVG."""

from collections.abc import Sequence
from html import escape

from benchmarks.report import Comparison, target

LABEL, CHART, FIGURES = 430, 320, 120
"""Widths in pixels, from left to right."""
WIDTH = LABEL + CHART + FIGURES
ROW, TOP, BOTTOM = 24, 34, 10
FONT = 'font-family="sans-serif"'
LONGEST = 2.0
"""Where a bar is cut off, in targets."""
MET, MISSED, INK, FAINT = "#2e7d32", "#c62828", "#24292f", "#8c959f"


def plot(comparisons: Sequence[Comparison]) -> str:
    """Return an SVG of bars that should reach the line in the middle; where less is better, the inverse is drawn."""
    aimed = [each for each in comparisons if each.target is not None]
    height = TOP + ROW * len(aimed) + BOTTOM
    line = LABEL + CHART / LONGEST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="12" {FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{line}" y="14" text-anchor="middle" fill="{INK}">target</text>',
        f'<text x="{WIDTH - 6}" y="14" text-anchor="end" fill="{INK}">ratio (target)</text>',
        *(part for number, each in enumerate(aimed) for part in _bar(each, TOP + ROW * number)),
        f'<path d="M{line} 20V{height - BOTTOM}" stroke="{INK}" stroke-dasharray="4 3"/>',
        "</svg>\n",
    ]
    return "\n".join(parts)


def _bar(comparison: Comparison, top: int) -> list[str]:
    """Return the bar of one row, with a thin line from the worst round to the best."""
    middle = top + ROW / 2
    end, *ends = (_reached(comparison, ratio) for ratio in (comparison.ratio, *comparison.ratios))
    label = f'{escape(comparison.what)} <tspan fill="{FAINT}">/ {escape(comparison.against)}</tspan>'
    figures = f"{comparison.ratio:.2f} ({target(comparison)})"
    colour = MET if comparison.verdict == "ok" else MISSED
    return [
        f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end" fill="{INK}">{label}</text>',
        f'<rect x="{LABEL}" y="{top + 5}" width="{end:.1f}" height="{ROW - 10}" fill="{colour}"/>',
        f'<path d="M{LABEL + min(ends):.1f} {middle}H{LABEL + max(ends):.1f}" stroke="{FAINT}" stroke-width="3"/>',
        f'<text x="{WIDTH - 6}" y="{middle + 4}" text-anchor="end" fill="{colour}">{escape(figures)}</text>',
    ]


def _reached(comparison: Comparison, ratio: float) -> float:
    """Return the length of a bar in pixels."""
    aim = comparison.target or 1
    share = aim / ratio if comparison.at_most else ratio / aim
    return min(share, LONGEST) * CHART / LONGEST
