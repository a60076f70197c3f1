"""Who may share what with whom, and what was shared. The way of the data, each step a module that exists:

push      exchange/intake/parcel.py      a department hands over a numbered, digested parcel
land      exchange/intake/landing.py     written once, encrypted, never changed; the receipt is the answer
validate  quality/gate.py                one verdict for the push; failing rows wait in quarantine with their reason
pool      pools/pool.py                  an accepted push becomes one new version of the department's pool, or nothing
merge     pools/merge.py                 pools become golden records: per field the authoritative source wins (一数一源)
index     pools/index.py                 golden records become a keyed, encrypted serving index, swapped in whole
serve     exchange/delivery/__init__.py  the only way out: grant -> mode -> evidence
log       exchange/access_log.py         every answer and every refusal, durable before the first byte leaves
evaluate  exchange/evaluation.py         whose data is overdue by its own update cycle, over recorded facts
"""
