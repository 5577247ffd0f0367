"""Evidence: what an image is made of, told from the image itself, and whether that is true."""
