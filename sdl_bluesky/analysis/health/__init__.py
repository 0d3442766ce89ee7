"""Whether models are still true: additivity, age, and signatures of what goes wrong."""
