"""The command line, one file a group of commands. No command decides anything: it reads, calls, shows."""
