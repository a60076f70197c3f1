"""The only way out: grant -> mode -> mask -> evidence -> answer."""
