"""Folds of the rows as moments, and the squared error of coefficients on rows that were left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.model_selection.shuffled_folds import shuffled_folds
from skmtl.relatedness.task_evidence import Moments, Outputs, TaskEvidence, centre, sum_moments
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class Fold:
    """Evidence of the rows that a fold trains on, and what is needed to test on the others."""

    evidence: TaskEvidence
    train: Moments
    test: Moments

    def squared_errors(self, coefficients: NDArray) -> NDArray:
        """Sum over a fold's test rows of ``(y - b - z' theta)^2``, b being the intercept of the training rows.

        Parameters
        ----------
        coefficients : ndarray of shape (..., n_outputs, q)

        Returns
        -------
        errors : ndarray of shape (..., n_outputs)
        """
        of, test = self.evidence.task_of_output, self.test
        count = np.maximum(self.train.count, 1.0)[of]
        means = self.train.z[of] / count[:, np.newaxis]
        intercepts = self.train.y / count - np.sum(means * coefficients, axis=-1)
        gram = test.zz[0] if test.zz.strides[0] == 0 else test.zz[of]
        curved = np.squeeze(coefficients[..., np.newaxis, :] @ gram, axis=-2)
        return (
            test.yy
            + intercepts * (test.count[of] * intercepts - 2.0 * test.y)
            + np.sum(coefficients * (curved - 2.0 * test.zy + 2.0 * intercepts[..., np.newaxis] * test.z[of]), axis=-1)
        )


def folds(data: TaskData, outputs: Outputs, Z: NDArray, n_folds: int, seed: int) -> Iterator[Fold]:
    """Folds in which every task and class has an equal share; a row is left out for all tasks at once.

    So noise that two tasks have in common on a row is never trained on where it is tested.
    """
    splits = shuffled_folds(data, n_folds, seed)
    whole = sum_moments(outputs, Z)
    for _, test in splits:
        left_out = np.zeros(data.n_rows)
        left_out[test] = 1.0
        tested = sum_moments(outputs, Z, left_out)
        train = whole - tested
        yield Fold(centre(train, outputs.task_of_output), train, tested)
