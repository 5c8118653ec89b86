"""Labels and masks handed to other programs, and taken in from them; one file a format."""
