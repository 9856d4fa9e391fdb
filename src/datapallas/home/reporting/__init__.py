"""Reports in a home: the desk of the page, and runs from the list to the last outcome."""

WORK = "report"
"""What the engine calls a run of a report."""
