"""Tests of fitted limits on synthetic languages whose entropy rate is known."""
