"""Is this push fit: identifiers, rules as data, the one pass, Great Expectations, the gate, quarantine, reports.

Invariant: a rule has one definition (one SQL predicate) and is evaluated once; everything else counts its bit.
"""
