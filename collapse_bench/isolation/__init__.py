"""Audited runs: the plugin runs in a process of its own, without truth, judge, ledger and store."""
