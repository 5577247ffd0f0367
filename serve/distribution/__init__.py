"""A registry for images and artifacts: the OCI distribution protocol over a store (distribution-spec v1.1)."""
