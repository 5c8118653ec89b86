"""Training runs as child processes: start, follow and stop them, find them again, report on them."""
