"""The parts of the shell command ``python -m skmtl``: its arguments, files, features and output."""
