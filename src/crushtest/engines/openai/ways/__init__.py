"""The ways in which a server can be asked how likely an option is, each proved before it is trusted."""
