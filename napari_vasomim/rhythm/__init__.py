"""Frame after frame without waiting: frames ahead are segmented, and the next one comes with a draft."""
