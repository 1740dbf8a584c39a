"""Data to try things on: two small real tables that come with the package, and data with a known truth."""

from skmtl.datasets.penguins import load_penguins
from skmtl.datasets.star import load_star
from skmtl.datasets.synthetic import make_multitask

__all__ = ["load_penguins", "load_star", "make_multitask"]
