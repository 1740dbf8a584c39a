"""Every loss: its derivatives, its conjugate, and that it stays finite."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from skmtl.losses import LOSSES

TARGETS = {
    "regression": [-1.3, 0.0, 2.5],
    "binary": [0.0, 1.0],
    "multiclass": [0.0, 1.0, 2.0],
    "count": [0.0, 1.0, 7.0],
}


def value(loss, y, raw):
    return loss.evaluate(y, raw)[0]


def gradient(loss, y, raw):
    return loss.evaluate(y, raw)[1]


def points(kind, seed=0):
    """Targets and linear predictors; softmax has three outputs."""
    rng = np.random.RandomState(seed)
    y = np.repeat(TARGETS[kind], 20)
    return y, rng.randn(len(y), 3) if kind == "multiclass" else rng.randn(len(y))


@pytest.mark.parametrize("kind", LOSSES)
def test_gradient_is_the_central_difference(kind):
    loss, (y, raw) = LOSSES[kind], points(kind)
    slope, step = gradient(loss, y, raw), 1e-6
    for output in range(raw.shape[1] if raw.ndim == 2 else 1):
        shift = np.zeros_like(raw)
        shift[..., output] = step
        shift = shift if raw.ndim == 2 else np.full_like(raw, step)
        difference = (value(loss, y, raw + shift) - value(loss, y, raw - shift)) / (2 * step)
        np.testing.assert_allclose(slope[:, output] if raw.ndim == 2 else slope, difference, atol=1e-8)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_value_is_the_textbook_formula(kind, size):
    (y, raw) = points(kind)
    raw = size * raw if kind != "count" else raw
    expected = {
        "regression": lambda: 0.5 * (y - raw) ** 2,
        "binary": lambda: np.logaddexp(0, raw) - y * raw,
        "multiclass": lambda: logsumexp(raw, axis=1) - raw[np.arange(len(y)), y.astype(int)],
        "count": lambda: np.exp(raw) - y * raw,
    }[kind]()
    np.testing.assert_allclose(LOSSES[kind].evaluate(y, raw)[0], expected, rtol=1e-12, atol=1e-13)


def test_logistic_keeps_its_digits_where_the_label_is_certain():
    """log(1 + exp(-30)) and its slope are not rounded to zero, nor drowned in the cancelling raw - y raw."""
    value, slope, curvature = LOSSES["binary"].evaluate(np.array([1.0, 0.0]), np.array([30.0, -30.0]))
    np.testing.assert_allclose(slope, [-np.exp(-30.0), np.exp(-30.0)], rtol=1e-12)
    np.testing.assert_allclose(curvature, np.exp(-30.0), rtol=1e-12)
    assert np.all(np.abs(value - np.exp(-30.0)) <= 2e-16)


@pytest.mark.parametrize("kind", ["regression", "binary", "count"])
def test_curvature_is_the_difference_of_the_gradient_and_not_negative(kind):
    loss, (y, raw) = LOSSES[kind], points(kind)
    curvature, step = loss.evaluate(y, raw)[2], 1e-6
    difference = (gradient(loss, y, raw + step) - gradient(loss, y, raw - step)) / (2 * step)
    np.testing.assert_allclose(curvature, difference, atol=1e-8)
    assert np.all(curvature >= 0)


def test_softmax_curvature_is_what_its_probabilities_say():
    loss, (y, raw) = LOSSES["multiclass"], points("multiclass")
    p, step = loss.evaluate(y, raw)[2], 1e-6
    for output in range(3):
        shift = np.zeros_like(raw)
        shift[:, output] = step
        difference = (gradient(loss, y, raw + shift) - gradient(loss, y, raw - shift)) / (2 * step)
        expected = p[:, [output]] * (np.eye(3)[output] - p)
        np.testing.assert_allclose(expected, difference, atol=1e-8)


@pytest.mark.parametrize("kind", LOSSES)
def test_dual_value_is_minus_the_numeric_conjugate(kind):
    """-loss*(-dual) = min over raw of loss(y, raw) + dual raw."""
    loss = LOSSES[kind]
    rng = np.random.RandomState(1)
    for target in TARGETS[kind]:
        y = np.array([target])
        raw = rng.randn(1, 3) if kind == "multiclass" else rng.randn(1)
        dual = -0.7 * gradient(loss, y, raw)  # inside the domain, and not at the point itself
        shape = raw.shape

        def fun(v, y=y, dual=dual, shape=shape):
            v = v.reshape(shape)
            return float(value(loss, y, v).sum() + np.sum(dual * v)), (gradient(loss, y, v) + dual).ravel()

        numeric = minimize(fun, raw.ravel(), jac=True, method="BFGS", options={"gtol": 1e-10}).fun
        np.testing.assert_allclose(loss.dual_value(y, dual).sum(), numeric, atol=1e-8)


@pytest.mark.parametrize("kind", LOSSES)
def test_fenchel_young_holds_with_equality_at_the_gradient(kind):
    loss, (y, raw) = LOSSES[kind], points(kind)
    dual = -gradient(loss, y, raw)
    inner = np.sum(dual * raw, axis=-1) if raw.ndim == 2 else dual * raw
    np.testing.assert_allclose(value(loss, y, raw), loss.dual_value(y, dual) - inner, atol=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("size", [-1e3, 1e3])
def test_far_away_everything_stays_finite_and_silent(kind, size):
    loss, (y, raw) = LOSSES[kind], points(kind)
    if kind == "count" and size > 0:
        size = 600.0
    for array in (*loss.evaluate(y, raw + size), loss.inverse_link(raw + size)):
        assert np.all(np.isfinite(array))


def test_inverse_links_are_means():
    np.testing.assert_allclose(LOSSES["binary"].inverse_link(np.array([0.0])), 0.5)
    np.testing.assert_allclose(LOSSES["count"].inverse_link(np.array([np.log(3.0)])), 3.0)
    np.testing.assert_allclose(LOSSES["multiclass"].inverse_link(np.zeros((1, 4))), 0.25)
