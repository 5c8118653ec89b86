"""The panels of the workbench, one file each, and what they are made of."""
