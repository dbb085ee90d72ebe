"""`python -m benchmarks [names]`: measure, and print one table."""
