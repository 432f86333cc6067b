"""How long a bar may be, given the metre and the bars before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from notagen.generation.cells import Cell

_LONGEST_UPBEAT = Fraction(1, 2)
"""Of the metre. Of 630 real pieces with an upbeat 98 in 100 have none that is longer; a model takes
such a bar for a whole one and goes on at its length."""


@dataclass(frozen=True)
class BarLengths:
    """What a bar may last: as long as the metre says, or less where notation has short bars.

    Short may be the tune's first bar, up to half of the metre; bars beside a section's barline
    (`||`, `|]`, `|:`, `:|`, `::`), for upbeats and what they complete; and those that a chorale
    cuts in two at a fermata. The bar after a cut and the one after a section may be short only by
    completing the one before.

    Frozen: `after` gives the rules for the next bar.
    """

    metre: Fraction | None
    """The newest, in whole notes; None for no limit."""
    is_first: bool = True
    """Whether the next bar is the tune's first."""
    after_section: bool = False
    """Whether a section's barline stands before it."""
    after_cut: bool = False
    """Whether the bar before it is short and has a fermata."""
    left: Fraction | None = None
    """What a short bar before it left of the metre; None after one that filled it."""

    def find_fault(self, cell: Cell, *, whole: bool) -> str:
        """Return what is wrong with the length of a bar's first voice; empty if nothing is.

        Args:
            cell: The first voice's.
            whole: Whether its barline is there; without it no bar is too short.
        """
        metre = cell.metre(self.metre)
        if metre is None or cell.duration == metre:
            return ""
        if cell.duration < metre and (not whole or self._may_be_short(cell, metre)):
            return ""
        return f"lasts {cell.duration}, the metre is {metre}"

    def after(self, cells: Sequence[Cell]) -> "BarLengths":
        """Return how it goes on after a bar that stays, sound or not; its voices, one at least."""
        first, metre = cells[0], self.metre
        for cell in cells:
            metre = cell.metre(metre)
        left = None
        if metre is not None and first.duration < metre and first.duration != self.left:
            left = metre - first.duration
        is_cut = first.has_fermata and left is not None
        return BarLengths(metre, False, first.ends_section, is_cut, left)

    def _may_be_short(self, cell: Cell, metre: Fraction) -> bool:
        if self.is_first:
            return cell.duration <= metre * _LONGEST_UPBEAT
        completes = self.left in (None, cell.duration)
        beside_section = self.after_section or cell.begins_section or cell.ends_section
        return completes if beside_section or self.after_cut else cell.has_fermata
