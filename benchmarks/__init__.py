"""Speed and accuracy of skmtl against what a user could take instead: ``python -m benchmarks.run --quick``."""
