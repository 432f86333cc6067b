"""Settings of the property tests; `HYPOTHESIS_PROFILE=long` tries far more examples."""

import os

from hypothesis import HealthCheck, settings

# no deadline: other work on the machine slows single examples down
settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
