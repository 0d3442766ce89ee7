"""Learning from data as functions and small classes on arrays: no I/O, no clock, a seed where there is chance."""
