"""Methods from the literature, written compactly: ``(problem) -> (coef, intercept, seconds)`` each.

Those that minimise the objective of skmtl start at the same spectral basis and stop when they are within 1e-6 of
`problem.target`, at the time budget, or when they no longer move. Their clock includes bringing the data in order.
"""
