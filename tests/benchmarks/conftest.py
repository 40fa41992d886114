"""What is timed is compiled as users have it compiled."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def as_users_compile(optimized):
    """See `optimized`."""
