"""Networks by name: entries as plain data, the registry that finds them, plugins, identities, official checkpoints."""
