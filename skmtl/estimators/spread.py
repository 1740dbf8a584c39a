"""Regressors that say how far new targets lie from their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmtl.estimators.base import JointModel
from skmtl.estimators.responses import deviations, predictions


class SpreadMixin(JointModel):
    """``predict(X, return_std=True)`` for joint linear models with the parameter `loss`."""

    if TYPE_CHECKING:
        loss: str

    @property
    def _keeps_spread(self) -> bool:
        return self.loss == "squared"

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict every task in the form that `fit` was given.

        Parameters
        ----------
        X : as in `fit`
            After a fit on own rows, one X asks every task, a dict of X each task for its own rows. In the
            long form a task that was not in fit is predicted by the common part, if there is one, about the mean
            level of the tasks at the mean of X; a model with neither a common part nor tied intercepts refuses it.
        return_std : bool, default=False
            Whether to return the standard deviations of new targets as well; with ``loss="squared"`` only.

        Returns
        -------
        y : TaskTargets of {task: ndarray of shape (n_samples,)}, dict, or ndarray of shape (n_samples,) or \
(n_samples, n_tasks)
            Numbers in the units of the targets, or expected counts.
        std : as `y`
            Only if `return_std`. With ``std ** 2`` the variance of a new target about its prediction: the noise
            of the task (`noise_scale_`), and what the posteriors of its factors, of the basis and of the other
            parts leave open. About 90 % of new targets are within 1.645 of them. Targets that are all alike have no
            unit: nothing but zero, or what a common part leaves of them, is their noise; a task of one label has that
            of the others where all have one unit (``scale_targets=None``, or a common part).

        Raises
        ------
        ValueError
            If the standard deviation of counts is asked for.
        """
        if not return_std:
            return super().predict(X)
        query, raw = self._raw(X)
        if self._solution.spread is None:
            raise ValueError(
                f"return_std=True needs a model of numbers with normal noise: {type(self).__name__} with "
                f"loss='squared', got loss={self.loss!r}."
            )
        answers = predictions(raw, self._tasks), deviations(query, self._tasks, self._solution)
        y, std = (self._form.gather(query, self._tasks, answer, "predict") for answer in answers)
        return y, std
