"""Multi-task learning for scikit-learn: several targets learned jointly, ordinary predictors handed back."""

__version__ = "0.1.0"

__all__ = ["__version__"]
