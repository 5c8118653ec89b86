"""The vessel tools in the window: what each of them is and does, its preview, and the mouse that moves it."""
