"""From a package to an OCI image, without a daemon: base, wheels, runtime, model, code, config."""
