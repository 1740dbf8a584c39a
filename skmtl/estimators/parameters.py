"""Constructor parameters checked before any work: what was given, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np


def _is_integer(value: Any, at_least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)) and int(value) >= at_least


def _is_number(value: Any) -> bool:
    # Every comparison with NaN is false, so that NaN is never accepted below.
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def _is_positive(value: Any) -> bool:
    return _is_number(value) and 0 < value < np.inf


def _is_bool(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


_Rule = tuple[Callable[[Any], bool], str]

#: {parameter: (test, what is allowed)}; the weights and `kinds` are checked where the tasks are known.
_RULES: dict[str, _Rule] = {
    "n_components": (lambda v: v is None or _is_integer(v, 1), "an integer >= 1, or None"),
    "alpha": (lambda v: _is_number(v) and v >= 0, "a number >= 0 (infinity: no shared part)"),
    "alpha_common": (lambda v: v is None or _is_positive(v), "a finite number > 0, or None (no common part)"),
    "alpha_own": (lambda v: v is None or _is_positive(v), "a finite number > 0, or None (no own part)"),
    "alpha_intercept": (lambda v: v is None or _is_positive(v), "a finite number > 0, or None (free intercepts)"),
    "loss": (lambda v: isinstance(v, str) and v in ("squared", "poisson"), "'squared' or 'poisson'"),
    "factor_prior": (lambda v: isinstance(v, str) and v in ("ridge", "learned"), "'ridge' or 'learned'"),
    "feature_prior": (lambda v: isinstance(v, str) and v in ("ridge", "learned"), "'ridge' or 'learned'"),
    "own_penalty": (lambda v: isinstance(v, str) and v in ("ridge", "group"), "'ridge' or 'group'"),
    "scale_targets": (
        lambda v: v is None or (isinstance(v, str) and v in ("std", "residual")),
        "'std', 'residual' or None",
    ),
    "scale_features": (_is_bool, "True or False"),
    "n_init": (lambda v: _is_integer(v, 1), "an integer >= 1"),
    "fit_intercept": (_is_bool, "True or False"),
    "max_iter": (lambda v: _is_integer(v, 1), "an integer >= 1"),
    "tol": (_is_positive, "a finite number > 0"),
    "warm_start": (_is_bool, "True or False"),
    "refit": (_is_bool, "True or False"),
    "guard": (_is_bool, "True or False"),
    "one_standard_error": (_is_bool, "True or False"),
    "n_jobs": (
        lambda v: v is None or (_is_number(v) and _is_integer(abs(v), 1)),
        "an integer other than 0 (negative: counted from the number of cores), or None",
    ),
    "verbose": (lambda v: _is_bool(v) or _is_integer(v, 0), "an integer >= 0, or a bool"),
}

#: Strengths, and the largest that is allowed where they are finite.
_STRENGTHS, _MOST = ("alpha", "alpha_common", "alpha_own", "alpha_intercept"), 1e100

#: Parameters that a cross-validated estimator chooses, unless they are given.
TUNED = ("n_components", "alpha", "alpha_common", "alpha_own", "alpha_intercept", "factor_prior", "feature_prior")


def check_tuned_parameters(estimator: Any) -> None:
    """As `check_parameters`, where each of `TUNED` may be "auto", a value, or a list of values."""
    name = type(estimator).__name__
    for parameter in TUNED:
        value = getattr(estimator, parameter)
        if isinstance(value, str) and value == "auto":
            continue
        is_allowed, allowed = _RULES[parameter]
        values = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
        if not len(values):
            raise ValueError(f"The parameter {parameter!r} of {name} is an empty list; give 'auto', or values to try.")
        for one in values:
            if not is_allowed(one):
                raise ValueError(
                    f"The parameter {parameter!r} of {name} must be 'auto', or {allowed}, or a list of such; "
                    f"got {value!r}."
                )
            _refuse_overflow(parameter, one, f"The parameter {parameter!r} of {name}")
    check_parameters(estimator, but=TUNED)


#: Of the estimators with a shared hidden layer: {parameter: (test, what is allowed)}.
_LAYER_RULES: dict[str, _Rule] = {
    "n_hidden": (lambda v: _is_auto(v) or _is_integer(v, 0), "'auto', or an integer >= 0 (0: the linear model)"),
    "n_linear": (lambda v: _is_integer(v, 0), "an integer >= 0"),
    "alpha": (lambda v: _is_auto(v) or _is_positive(v), "'auto', or a finite number > 0"),
    "alpha_common": (
        lambda v: v is None or _is_auto(v) or _is_positive(v),
        "'auto', a finite number > 0, or None (heads have no common mean)",
    ),
}


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def check_shared_layer_parameters(estimator: Any) -> None:
    """As `check_parameters`, for the estimators with a shared hidden layer."""
    name = type(estimator).__name__
    for parameter, (is_allowed, allowed) in _LAYER_RULES.items():
        value = getattr(estimator, parameter)
        if not is_allowed(value):
            raise ValueError(f"The parameter {parameter!r} of {name} must be {allowed}; got {value!r}.")
        _refuse_overflow(parameter, value, f"The parameter {parameter!r} of {name}")
    check_parameters(estimator, but=tuple(_LAYER_RULES))


#: Where nothing is tuned, "auto" is one strength that the data imply.
_PLAIN_RULES: dict[str, _Rule] = {
    "alpha": (
        lambda v: _is_auto(v) or (_is_number(v) and v >= 0),
        "'auto', or a number >= 0 (infinity: no shared part)",
    ),
}


def check_parameters(estimator: Any, but: tuple[str, ...] = ()) -> None:
    """ValueError that names the first parameter of `estimator` with a value that is not allowed."""
    for name, value in estimator.get_params(deep=False).items():
        if name not in _RULES or name in but:
            continue
        called = f"The parameter {name!r} of {type(estimator).__name__}"
        _check(name, value, _PLAIN_RULES.get(name, _RULES[name]), called)


def check_parameter(name: str, value: Any) -> None:
    """ValueError if `value` is not allowed for a parameter of this name."""
    _check(name, value, _RULES[name], name)


def _check(name: str, value: Any, rule: _Rule, called: str) -> None:
    is_allowed, allowed = rule
    if not is_allowed(value):
        raise ValueError(f"{called} must be {allowed}; got {value!r}.")
    _refuse_overflow(name, value, called)


def _refuse_overflow(name: str, value: Any, called: str) -> None:
    """ValueError for a finite strength so large that squares of it would overflow."""
    if name in _STRENGTHS and _is_number(value) and _MOST < value < np.inf:
        or_infinity = ", or infinity" if name == "alpha" else ""
        raise ValueError(f"{called} must be at most {_MOST:g}{or_infinity}: squares of it overflow; got {value!r}.")
