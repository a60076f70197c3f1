"""What the quality team sees of many pushes: trend, the six dimensions of GB/T 36344, what is overdue,
what is contested, who changed which rule.

One idea: a question (`Asked`) within what its asker may see (`scope`) is answered from facts of the control database, in a
fixed number of statements however many pushes there are. Invariant: an answer holds counts, times, receipts and the
catalogue's own words, never a value; and it is recorded, like every refusal, before anybody has it.
"""

from quality.overview.answers import contested, dimensions, history, overdue, page, trend, workbook
from quality.overview.model import Asked, Contested, Dimensions, History, Overdue, Trend

__all__ = [
    "Asked",
    "Contested",
    "Dimensions",
    "History",
    "Overdue",
    "Trend",
    "contested",
    "dimensions",
    "history",
    "overdue",
    "page",
    "trend",
    "workbook",
]
