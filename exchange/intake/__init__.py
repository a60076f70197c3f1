"""Push and land: a department hands over a numbered, digested parcel and gets a receipt, or an error and nothing else.

Doors (HTTP in `api/routes/push.py`, the command line) all call `landing`; formats are one file each in `formats/`.
"""
