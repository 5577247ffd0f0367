"""Deploy: from an image and what an operator wants to what a container platform is told."""
