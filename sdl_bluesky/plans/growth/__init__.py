"""Growth campaigns: layers grown until their light and their lattice are as wanted."""
