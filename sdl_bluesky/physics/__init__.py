"""Physics of thin films as pure functions on arrays: no I/O, no clock, a seed where there is chance."""
