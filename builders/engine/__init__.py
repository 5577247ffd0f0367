"""Images where they run: in a container engine, without one, or as a context that any engine builds."""
