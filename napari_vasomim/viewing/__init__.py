"""What a person does at a viewer: opens files, goes through runs, sets window and level, looks at two at once."""
