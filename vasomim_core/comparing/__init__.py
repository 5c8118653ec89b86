"""Pretraining methods against each other: one protocol, one folder, one table. See `compare`."""
