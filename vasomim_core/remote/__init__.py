"""Training on another machine over SSH: which there are, what goes to them, and how a run there is followed."""
