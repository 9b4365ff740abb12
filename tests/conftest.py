"""Settings for the whole suite."""

from hypothesis import settings

# A slow machine is no failure: no property has a deadline.
settings.register_profile("benchsuite", deadline=None)
settings.load_profile("benchsuite")
